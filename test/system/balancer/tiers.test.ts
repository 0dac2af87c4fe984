/** Two arriving nodes, two with endpoints, one client: connections and who answers them, while nodes come and go. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { LanHost, makeLan } from '../../support/balancer/lan.js';
import { Talk } from '../../support/balancer/Talk.js';
import type { TierCommand } from '../../support/balancer/tierNode.js';
import { inNetns } from '../../support/inNetns.js';
import { eventually, plain, shell } from '../../support/iptables.js';

const PROGRAM = fileURLToPath(new URL('../../support/balancer/tierNode.js', import.meta.url));
const V4 = '203.0.113.10';
const V6 = '2001:db8:1::10';
const PORT = 80;
/** Each line is answered with the name of the node and the address that it came from. */
const SERVER = `
const name = process.argv[1];
const answer = (s) => { s.on('error', () => {}); s.on('data', () => s.write(name + ' ' + s.remoteAddress + '\\n')); };
require('net').createServer(answer).listen(8080, '::');
const udp = require('dgram').createSocket('udp6');
udp.on('message', (m, from) => udp.send(name + ' ' + m.length, from.port, from.address));
udp.bind(8080, '::');`;

class TierNodeHost extends LanHost {
  readonly last: number;
  readonly replies: string[] = [];
  #processes: ChildProcess[] = [];
  #tiers: ChildProcess;

  constructor(name: string, last: number) {
    super(name, last);
    this.last = last;
    // Whoever arrives by the client's default route, and pods' addresses are of no concern here: the server is on the node.
    this.run(
      'sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth0.rp_filter=0',
    );
    const inside = ['nsenter', '-t', String(this.pid), '-n', process.execPath];
    this.#tiers = spawn(...plain(...inside, PROGRAM, name), { stdio: ['pipe', 'pipe', 'inherit'] });
    createInterface(this.#tiers.stdout as NodeJS.ReadableStream).on('line', (line) =>
      this.replies.push(line),
    );
    this.#processes.push(this.#tiers);
  }

  /** Tier 2 as policy Local would be: DNAT to the server of this node, without SNAT. */
  serve(): void {
    const started = spawn(
      ...plain('nsenter', '-t', String(this.pid), '-n', process.execPath, '-e', SERVER, this.name),
      { stdio: 'ignore' },
    );
    this.#processes.push(started);
    this.run(
      `nft "add table inet t2; add chain inet t2 pre { type nat hook prerouting priority dstnat; };
       add rule inet t2 pre ip daddr ${V4} meta l4proto { tcp, udp } th dport ${PORT} dnat ip to 192.0.2.${this.last}:8080;
       add rule inet t2 pre ip6 daddr ${V6} meta l4proto { tcp, udp } th dport ${PORT} dnat ip6 to [2001:db8::${this.last.toString(16)}]:8080"`.replaceAll(
        '\n',
        ' ',
      ),
    );
  }

  async tell(command: TierCommand): Promise<void> {
    const before = this.replies.length;
    this.#tiers.stdin?.write(`${JSON.stringify(command)}\n`);
    await eventually(() => this.replies.length > before);
    const [reply] = this.replies.slice(-1);
    if (reply !== 'written') throw new Error(`${this.name}: ${reply}`);
  }

  override close(): void {
    for (const each of this.#processes) each.kill('SIGKILL');
    super.close();
  }
}

if (await inNetns(import.meta.url)) {
  makeLan();
  const nodes = [1, 2, 3, 4].map((i) => new TierNodeHost(`node${i}`, i)) as [
    TierNodeHost,
    TierNodeHost,
    TierNodeHost,
    TierNodeHost,
  ];
  const [first, second, third, fourth] = nodes;
  t.teardown(() => {
    for (const node of nodes) node.close();
  });
  for (const node of [third, fourth]) node.serve();
  const known = nodes.map(
    ({ name, last, mac }) => [name, `192.0.2.${last}`, `2001:db8::${last.toString(16)}`, mac] as const,
  );
  const tell = (endpoints: readonly string[], to: readonly TierNodeHost[] = nodes) =>
    Promise.all(to.map((node) => node.tell({ vips: [V4, V6], port: PORT, endpoints, nodes: known })));
  const arriveAt = (node: TierNodeHost) => {
    shell(
      `ip route replace ${V4}/32 via 192.0.2.${node.last}; ip -6 route replace ${V6}/128 via 2001:db8::${node.last.toString(16)}`,
    );
  };
  const talks = async (host: string, count: number) => {
    const made = Array.from({ length: count }, () => new Talk(host, PORT));
    const answers = await Promise.all(made.map((talk) => talk.ask()));
    return { made, answers };
  };
  const nodesOf = (answers: readonly string[]) =>
    [...new Set(answers.map((each) => each.split(' ')[0]))].sort();

  t.test('connections reach both nodes with endpoints, which see the client', async (t) => {
    await tell(['node3', 'node4']);
    arriveAt(first);
    for (const [host, client] of [
      [V4, '::ffff:192.0.2.254'],
      [V6, '2001:db8::fe'],
    ] as const) {
      const { made, answers } = await talks(host, 40);
      t.same(nodesOf(answers), ['node3', 'node4'], host);
      t.ok(
        answers.every((each) => each.endsWith(` ${client}`)),
        `the client's own address: ${answers[0]}`,
      );
      for (const { socket } of made) socket.destroy();
    }
    t.match(first.run('nft list table netdev penstock-balancer'), /fwd ip to/, 'nft can list it');
  });

  t.test('the arriving node dies: nobody notices', async (t) => {
    for (const host of [V4, V6]) {
      arriveAt(first);
      const { made, answers } = await talks(host, 60);
      shell(`ip link set ${first.name} down`);
      arriveAt(second);
      const again = await Promise.all(made.map((talk) => talk.ask()));
      t.equal(
        again.filter((each, i) => each === answers[i] && each !== '').length,
        60,
        `${host}: 60 of 60, each at its endpoint`,
      );
      for (const { socket } of made) socket.destroy();
      shell(`ip link set ${first.name} up`);
      first.run('ip addr replace 2001:db8::1/64 dev eth0 nodad');
    }
  });

  t.test('tables change: who is older than them keeps its node', async (t) => {
    for (const host of [V4, V6]) {
      arriveAt(second);
      await tell(['node3']);
      const { made, answers } = await talks(host, 40);
      t.same(nodesOf(answers), ['node3']);
      await tell(['node4']);
      const again = await Promise.all(made.map((talk) => talk.ask()));
      t.equal(
        again.filter((each) => each.startsWith('node3 ')).length,
        40,
        `${host}: all slots moved, 40 of 40 alive at their node`,
      );
      const fresh = await talks(host, 20);
      t.same(nodesOf(fresh.answers), ['node4'], 'new ones go to the new node');
      for (const { socket } of [...made, ...fresh.made]) socket.destroy();
    }
  });

  t.test('nodes hear of a change one after the other: nobody is reset meanwhile', async (t) => {
    arriveAt(first);
    for (const host of [V4, V6])
      for (const order of [
        [first, second, third, fourth],
        [fourth, third, second, first],
      ]) {
        await tell(['node3']);
        const { made, answers } = await talks(host, 20);
        t.same(nodesOf(answers), ['node3']);
        // There, and back: what a rolling restart of the two does.
        for (const endpoints of [['node4'], ['node3', 'node4'], ['node3']]) {
          for (const node of order) {
            await tell(endpoints, [node]);
            const again = await Promise.all(made.map((talk) => talk.ask()));
            t.same(
              again.filter((each) => !each.startsWith('node3 ')),
              [],
              `${host}: ${endpoints} as ${node.name} has it, alive at their node`,
            );
          }
        }
        for (const { socket } of made) socket.destroy();
      }
  });

  t.test(
    "what is nobody's is handed over once, whatever the tables of two nodes say of each other",
    async (t) => {
      arriveAt(first);
      await tell(['node3'], [first, fourth]);
      await tell(['node4'], [third]);
      const seen = (node: TierNodeHost) =>
        node.run('nft list chain inet seen at').match(/counter packets (\d+)/)?.[1] ?? '';
      for (const node of [third, fourth])
        node.run(
          `nft "add table inet seen; add chain inet seen at { type filter hook prerouting priority -300; }; add rule inet seen at tcp flags == ack tcp dport ${PORT} counter"`,
        );
      for (const host of [V4, V6]) sendStrayAck(host);
      t.ok(await eventually(() => seen(third) === '2' && seen(fourth) === '2'), 'each family once to either');
      for (const node of [third, fourth]) node.run('nft delete table inet seen');
    },
  );

  t.test('datagrams, whole and in fragments', async (t) => {
    await tell(['node3', 'node4']);
    arriveAt(first);
    const script = `
const d = require('dgram'); const host = process.argv[1];
const one = (size) => new Promise((r) => { const s = d.createSocket(host.includes(':') ? 'udp6' : 'udp4'); const end = (x) => { s.close(); r(x); };
  const timer = setTimeout(() => end('nothing'), 3000); s.on('message', (m) => { clearTimeout(timer); end(String(m)); }); s.send(Buffer.alloc(size), ${PORT}, host); });
(async () => { const all = []; for (let i = 0; i < 12; i++) all.push(await one(i % 2 ? 4000 : 10)); console.log(JSON.stringify(all)); })();`;
    for (const host of [V4, V6]) {
      const answers = JSON.parse(
        execFileSync(process.execPath, ['-e', script, host], { encoding: 'utf8' }),
      ) as string[];
      t.equal(answers.filter((each) => /^node[34] 10$/.test(each)).length, 6, `${host}: whole ${answers}`);
      t.equal(answers.filter((each) => /^node[34] 4000$/.test(each)).length, 6, `${host}: in fragments`);
      t.equal(
        nodesOf(answers.filter((each) => each.endsWith(' 4000'))).length,
        1,
        'all fragments of a client go to one node',
      );
    }
  });

  t.test('errors about a connection reach the node that has it', async (t) => {
    // A packet too big for a way that the test makes narrow: who is told so is the node with the endpoint.
    await tell(['node3', 'node4']);
    arriveAt(first);
    for (const [host, told, send] of [
      [V4, unreachablesAt, sendFragmentationNeeded],
      [V6, tooBigsAt, sendPacketTooBig],
    ] as const) {
      const { made, answers } = await talks(host, 6);
      for (const [i, talk] of made.entries()) {
        const node = answers[i]?.startsWith('node3') ? third : fourth;
        const before = told(node);
        send(host, talk.socket.localPort as number);
        t.ok(
          await eventually(() => told(node) > before, 3000),
          `${host}: port ${talk.socket.localPort} is of ${node.name}, which is told`,
        );
      }
      for (const { socket } of made) socket.destroy();
    }
  });
}

/** ICMP errors "unreachable" that the node has taken so far. */
function unreachablesAt(node: LanHost): number {
  const [names = '', numbers = ''] = node.run('grep ^Icmp: /proc/net/snmp').split('\n');
  return Number(numbers.split(' ')[names.split(' ').indexOf('InDestUnreachs')]);
}

/** As a router on the way says: the packet from the VIP to this client does not fit. */
function sendFragmentationNeeded(vip: string, clientPort: number): void {
  const script = `
import socket, struct, sys
vip, port = sys.argv[1], int(sys.argv[2])
def checksum(b):
    s = sum(struct.unpack('!%dH' % (len(b) // 2), b)); s = (s >> 16) + (s & 0xffff); s += s >> 16
    return ~s & 0xffff
inner = struct.pack('!BBHHHBBH4s4s', 0x45, 0, 1500, 1, 0x4000, 64, 6, 0, socket.inet_aton(vip), socket.inet_aton('192.0.2.254')) + struct.pack('!HHI', ${PORT}, port, 1)
head = struct.pack('!BBHHH', 3, 4, 0, 0, 1400)
icmp = struct.pack('!BBHHH', 3, 4, checksum(head + inner), 0, 1400) + inner
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
s.sendto(icmp, (vip, 0))`;
  shell(`python3 -c "${script}" ${vip} ${clientPort}`);
}

/** ICMPv6 errors "packet too big" that the node has taken so far. */
function tooBigsAt(node: LanHost): number {
  return Number(node.run('grep Icmp6InPktTooBigs /proc/net/snmp6').split(/\s+/)[1]);
}

function sendPacketTooBig(vip: string, clientPort: number): void {
  const script = `
import socket, struct, sys
vip, port = sys.argv[1], int(sys.argv[2])
inner = struct.pack('!IHBB', 0x60000000, 1460, 6, 64) + socket.inet_pton(socket.AF_INET6, vip) + socket.inet_pton(socket.AF_INET6, '2001:db8::fe') + struct.pack('!HHI', ${PORT}, port, 1)
s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
s.sendto(struct.pack('!BBHI', 2, 0, 0, 1400) + inner, (vip, 0))`;
  shell(`python3 -c "${script}" ${vip} ${clientPort}`);
}

/** A packet of a connection that nobody has. */
function sendStrayAck(vip: string): void {
  const script = `
import socket, struct, sys
vip = sys.argv[1]; six = ':' in vip
family = socket.AF_INET6 if six else socket.AF_INET
source = '2001:db8::fe' if six else '192.0.2.254'
def checksum(b):
    s = sum(struct.unpack('!%dH' % (len(b) // 2), b)); s = (s >> 16) + (s & 0xffff); s += s >> 16
    return ~s & 0xffff
def tcp(c): return struct.pack('!HHIIBBHHH', 40000, ${PORT}, 1000, 2000, 0x50, 0x10, 1000, c, 0)
pseudo = socket.inet_pton(family, source) + socket.inet_pton(family, vip) + struct.pack('!II', 20, 6)
s = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_TCP)
s.bind((source, 0))
s.sendto(tcp(checksum(pseudo + tcp(0))), (vip, 0))`;
  shell(`python3 -c "${script}" ${vip}`);
}
