// Opens COUNT connections to HOST PORT and asks on each of them ten times a second, until SIGTERM. Then prints how many are alive and
// were always answered by the same pod, and from how many pods: `30 of 30 alive, answered by pod2 pod3`.
import { connect } from 'node:net';

const [host, port, count] = process.argv.slice(2);
const talks = Array.from({ length: Number(count) }, () => {
  const talk = { who: '', alive: true, heard: 0 };
  const socket = connect({ host, port: Number(port) });
  const dead = () => {
    talk.alive = false;
  };
  socket.on('error', dead).on('close', dead);
  socket.on('data', (chunk) => {
    const [who] = /pod\d/.exec(chunk) ?? [];
    talk.heard = performance.now();
    if (who === undefined) return;
    if (talk.who !== '' && talk.who !== who) talk.alive = false;
    talk.who = who;
  });
  setInterval(() => talk.alive && socket.write('GET / HTTP/1.1\r\nHost: shop\r\n\r\n'), 100);
  return talk;
});
process.on('SIGTERM', () => {
  // After an outage TCP tries again later and later: what lives is heard within some seconds.
  const asked = performance.now();
  const look = () => {
    const good = talks.filter(({ alive, heard }) => alive && heard > asked);
    if (good.length < talks.length && performance.now() - asked < 8000) {
      setTimeout(look, 100);
      return;
    }
    const pods = [...new Set(good.map(({ who }) => who))].sort().join(' ');
    console.log(`${good.length} of ${talks.length} alive, answered by ${pods}`);
    process.exit(good.length === talks.length ? 0 : 1);
  };
  look();
});
