import React, { useEffect, useState } from 'react';

export function Size() {
  const [size, setSize] = useState(0);
  useEffect(() => {
    const onResize = () => setSize(window.innerWidth);
    window.addEventListener('resize', onResize); // expect: retained-object
  }, []);
  useEffect(() => {
    const onResize = () => setSize(window.innerWidth);
    window.addEventListener('resize', onResize);
    return () => window.removeEventListener('resize', onResize);
  }, []);
  useEffect(() => {
    setInterval(() => setSize((it) => it + 1), 1000); // expect: retained-object
  }, []);
  useEffect(() => {
    const id = setInterval(() => setSize((it) => it + 1), 1000);
    return () => clearInterval(id);
  }, []);
  return <div onClick={() => setSize(0)}>{size}</div>;
}

class Panel {
  private sub: any;
  constructor(private events: any, private http: any) {}
  ngOnInit() {
    this.events.changes.subscribe((it: any) => this.show(it)); // expect: retained-object
    this.http.get('/x').subscribe((it: any) => this.show(it));
    this.sub = this.events.more.subscribe((it: any) => this.show(it));
    this.events.once.pipe(take(1)).subscribe((it: any) => this.show(it));
  }
  ngOnDestroy() { this.sub.unsubscribe(); }
  show(it: any) {}
}
declare function take(n: number): any;
export { Panel };
