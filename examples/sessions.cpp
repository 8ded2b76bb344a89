// A server that loses its sessions: a slot is taken over, but the session in it is never deleted.

#include <string>
#include <vector>

struct Session {
    std::string user;
    std::vector<char> inbox;

    explicit Session(std::string name) : user(std::move(name)), inbox(4096) {}
};

static Session *slots[20];

static void open_session(int id) {
    std::string name = "the user with number " + std::to_string(id);
    slots[id % 20] = new Session(name);
}

int main(int argc, char **argv) {
    int count = argc > 1 ? std::stoi(argv[1]) : 300;
    for (int id = 0; id < count; id++) {
        open_session(id);
    }
    return 0;
}
