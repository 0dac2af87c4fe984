/**
 * penstock explain --live: what the kernel really does with a packet, in words, beside what the model says, in every mode of this kernel.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import t, { type Test } from 'tap';
import type { Live } from '../../../src/cli/see/live/joinTrace.js';
import type { Explanation } from '../../../src/explain/explain.js';
import { AgentProcess, PENSTOCK } from '../../support/AgentProcess.js';
import { inNetns } from '../../support/inNetns.js';
import { eventually, plain, shell } from '../../support/iptables.js';
import { nodeWithOutside } from '../../support/nodeWithOutside.js';
import { shopObjects } from '../../support/shopObjects.js';
import { SideNamespace } from '../../support/sideNamespace.js';

const VIP = '172.30.0.10';
const POD = '10.244.1.5';
const ENDPOINT = '10.1.0.1';

class Call {
  readonly #child: ChildProcess;
  out = '';
  err = '';

  constructor(...words: readonly string[]) {
    const [file, args] = plain('NO_COLOR=1', PENSTOCK, ...words);
    this.#child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child.stdout?.on('data', (chunk) => {
      this.out += chunk;
    });
    this.#child.stderr?.on('data', (chunk) => {
      this.err += chunk;
    });
  }

  waits(): Promise<boolean> {
    return eventually(() => this.err.includes('waiting up to'), 20_000);
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }

  async ended(): Promise<number | null> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) await once(this.#child, 'close');
    return this.#child.exitCode;
  }

  get answer(): Explanation & { readonly live: Live } {
    return JSON.parse(this.out || `{"error": ${JSON.stringify(this.err)}}`);
  }
}

const tables = () => shell('nft list tables');

if (await inNetns(import.meta.url)) {
  nodeWithOutside();
  shell('sysctl -qw net.ipv4.ip_forward=1');
  const pod = new SideNamespace({ link: 'cbr0', bridged: true, address: POD, gateway: '10.244.1.1' });
  const endpoint = new SideNamespace({ link: 'be0', address: ENDPOINT, gateway: '10.1.0.254' });
  t.teardown(() => {
    pod.close();
    endpoint.close();
  });
  const objects = [
    ...shopObjects({ name: 'cart', clusterIP: VIP, endpoints: [ENDPOINT] }),
    ...shopObjects({ name: 'empty', clusterIP: '172.30.0.11', endpoints: [] }),
  ];
  /** The command, and a connection of the pod as soon as it waits. */
  const live = async (to: string, ...more: readonly string[]) => {
    const call = new Call('explain', POD, to, '--live', '--wait', '20', ...more);
    const asked = (await call.waits()) ? pod.ask(to.split(':')[0] ?? '') : undefined;
    const code = await call.ended();
    // Not to be met by the next one: what was dropped is sent again.
    await asked;
    return { code, call };
  };

  for (const mode of ['nftables', 'iptables', 'userspace']) {
    t.test(`mode ${mode}`, async (t) => {
      await using agent = new AgentProcess(`mode: ${mode}\nclusterCIDR: 10.244.0.0/16\n`);
      agent.write('shop.json', objects);
      agent.start();
      await agent.ready();

      const { code, call } = await live(`${VIP}:80`, '-o', 'json');
      t.equal(code, 0, call.err);
      const { live: seen, endpoints } = call.answer;
      t.strictSame(endpoints, [`${ENDPOINT}:8080`]);
      t.ok(seen.agrees, seen.says);
      t.match(
        seen,
        mode === 'userspace'
          ? { outcome: 'proxy' }
          : { outcome: 'endpoint', reached: `${ENDPOINT}:8080`, source: POD },
      );
      t.match(seen.steps.map(({ says }) => says).join('\n'), /shop\/cart:http/, 'steps name the Service');

      const refused = await live('172.30.0.11:80');
      t.equal(refused.code, 1);
      t.match(refused.call.out, /is refused \[no-endpoints\]/);
      t.match(refused.call.out, /the kernel agrees with the model/, refused.call.out);
      t.ok(
        refused.call.out.split('\n').every((line) => line.length <= 80),
        refused.call.out,
      );

      if (mode === 'nftables') await ofStrangers(t, agent);
    });
  }

  async function ofStrangers(t: Test, agent: AgentProcess): Promise<void> {
    const own = new Call('explain', 'node', `${VIP}:80`, '--live', '-o', 'json');
    t.equal(await own.ended(), 0, own.err);
    t.ok(own.answer.live.agrees, own.answer.live.says);
    t.notMatch(own.err, /waiting/, 'the node connects itself');

    shell(
      `nft 'add table ip strange { chain forward { type filter hook forward priority 10; ip daddr ${ENDPOINT} counter drop comment "not on my watch"; }; }'`,
    );
    t.equal(await agent.end('SIGKILL'), 'SIGKILL');
    const stopped = await live(`${VIP}:80`, '-o', 'json');
    shell('nft delete table ip strange');
    t.equal(stopped.code, 1, 'without an agent, too');
    t.match(stopped.call.answer.live, {
      outcome: 'stopped',
      agrees: false,
      says: /rule \d+ of chain forward \(table ip strange\).*not on my watch.*not penstock's/,
    });
    t.notMatch(tables(), 'penstock-trace');
  }

  t.test('whatever ends the command ends the trace; nobody else is traced', async (t) => {
    await using agent = new AgentProcess('mode: nftables\nclusterCIDR: 10.244.0.0/16\n');
    agent.write('shop.json', objects);
    agent.start();
    await agent.ready();
    const call = new Call('explain', POD, `${VIP}:80`, '--live', '--wait', '50');
    t.ok(await call.waits());
    t.match(shell('nft list table ip penstock-trace'), `ip daddr ${VIP} ip saddr ${POD}`);
    t.equal(await pod.ask('172.30.0.11'), '', 'another destination');
    t.ok(call.out.split('kernel  ').length === 1, 'is not its business');
    const second = new Call('explain', POD, `${VIP}:80`, '--live');
    t.equal(await second.ended(), 2);
    t.match(second.err, /another trace runs/);
    call.kill();
    await call.ended();
    t.ok(
      await eventually(() => !tables().includes('penstock-trace')),
      'gone with its process, killed as it was',
    );

    const nobody = new Call('explain', POD, `${VIP}:80`, '--live', '--wait', '1');
    t.equal(await nobody.ended(), 2);
    t.match(nobody.err, /no packet of 10\.244\.1\.5 to shop\/cart:http port 80 came by in 1 s/);
    t.notMatch(tables(), 'penstock-trace');
  });
}
