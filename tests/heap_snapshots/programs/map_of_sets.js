// Rooms are made for visitors and never taken away.
const rooms = new Map();
exports.bad = (id) => {
  rooms.set("room" + id, new Set([{ id }])); // expect: unbounded-growth rooms
};
exports.good = (id) => {
  rooms.set("room" + id, new Set([{ id }]));
  rooms.delete("room" + id);
};
exports.use = () => rooms;
