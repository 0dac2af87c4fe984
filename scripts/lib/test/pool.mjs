// Runs tasks side by side. A task: { name, room, run }, where run resolves with { passed, failed }; `room`: at most one
// task of a room at a time. Rooms come first, so that no chain of tasks that must follow each other waits for what could run
// at any time; else tasks begin in the order of the list.

/** `ended(task, result)` is called as each ends. */
export async function runTasks(tasks, places, ended) {
  const waiting = [...tasks];
  const running = new Set();
  const busy = new Set();
  const nextIndex = () => {
    const inRoom = waiting.findIndex(({ room }) => room !== undefined && !busy.has(room));
    return inRoom >= 0 ? inRoom : waiting.findIndex(({ room }) => room === undefined);
  };
  while (waiting.length > 0 || running.size > 0) {
    while (running.size < places) {
      const next = nextIndex();
      if (next < 0) break;
      const [task] = waiting.splice(next, 1);
      if (task.room !== undefined) busy.add(task.room);
      const turn = task.run().then((result) => {
        busy.delete(task.room);
        running.delete(turn);
        ended(task, result);
      });
      running.add(turn);
    }
    await Promise.race(running);
  }
}
