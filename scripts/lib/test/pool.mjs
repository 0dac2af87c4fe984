// Runs tasks side by side. A task: { name, room, run }, where run resolves with { passed, failed }; `room`: at most one
// task of a room at a time. Tasks begin in the order of the list, as soon as their room is free.

/** `ended(task, result)` is called as each ends. */
export async function runTasks(tasks, places, ended) {
  const waiting = [...tasks];
  const running = new Set();
  const busy = new Set();
  while (waiting.length > 0 || running.size > 0) {
    while (running.size < places) {
      const next = waiting.findIndex(({ room }) => room === undefined || !busy.has(room));
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
