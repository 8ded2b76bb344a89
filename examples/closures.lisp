; Makes garbage in every call: numbers, lists, environments and closures all live on the heap.

(define (not value) (if value nil t))
(define (append left right) (if (null left) right (cons (car left) (append (cdr left) right))))
(define (range from to) (if (= from to) nil (cons from (range (+ from 1) to))))
(define (map f list) (if (null list) nil (cons (f (car list)) (map f (cdr list)))))
(define (filter keep list)
  (if (null list) nil
    (if (keep (car list))
        (cons (car list) (filter keep (cdr list)))
        (filter keep (cdr list)))))
(define (fold f start list) (if (null list) start (fold f (f start (car list)) (cdr list))))
(define (sort list)
  (if (null list) nil
    (append (sort (filter (lambda (it) (< it (car list))) (cdr list)))
            (cons (car list) (sort (filter (lambda (it) (not (< it (car list)))) (cdr list)))))))

; A closure that keeps a state of its own, as a pair that refers to itself.
(define (counter)
  (let ((cell (cons 0 nil)))
    (begin
      (set-cdr cell cell)
      (lambda () (begin (set-car cell (+ (car cell) 1)) (car (cdr cell)))))))

(define one (counter))
(define two (counter))
(one) (one) (two)
(print (cons (one) (cons (two) nil)))

(define (random-list seed count)
  (if (= count 0) nil
    (let ((next (mod (+ (* seed 1103) 12345) 65536)))
      (cons (mod next 100) (random-list next (- count 1))))))
(print (sort (random-list 7 24)))

; Places for a queen in each row, the last row first.
(define (safe column distance rest)
  (if (null rest) t
    (if (= (car rest) column) nil
      (if (= (car rest) (+ column distance)) nil
        (if (= (car rest) (- column distance)) nil
          (safe column (+ distance 1) (cdr rest)))))))
(define (queens size row placed)
  (if (= row size) 1
    (fold (lambda (sum column)
            (if (safe column 1 placed) (+ sum (queens size (+ row 1) (cons column placed))) sum))
          0 (range 0 size))))
(print (map (lambda (size) (queens size 0 nil)) (range 1 8)))

; A loop without a loop: a tail call needs no room. Each turn leaves a cycle behind.
(define (spin left)
  (if (= left 0) (quote done)
    (let ((knot (cons left nil))) (begin (set-cdr knot knot) (spin (- left 1))))))
(print (spin 100000))
