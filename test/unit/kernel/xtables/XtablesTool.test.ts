/** How the tools are called, and how their answers are read. */
import t from 'tap';
import { RestoreInput } from '../../../../src/kernel/xtables/RestoreInput.js';
import type { CommandResult, ProgramRunner } from '../../../../src/kernel/xtables/runCommand.js';
import { openXtables } from '../../../../src/kernel/xtables/selectBackend.js';
import { XtablesTool } from '../../../../src/kernel/xtables/XtablesTool.js';

const answer = (fields: Partial<CommandResult> = {}): CommandResult => ({
  status: 0,
  stdout: '',
  stderr: '',
  ...fields,
});

/** Answers by the start of the command line; notes what was run. */
function fakeRun(answers: Readonly<Record<string, CommandResult>>): { run: ProgramRunner; lines: string[] } {
  const lines: string[] = [];
  const run: ProgramRunner = async (program, args, options) => {
    const line = [program, ...args].join(' ');
    lines.push(line + [...(options?.input ?? [])].map((text) => ` <${text}`).join(''));
    const found = Object.keys(answers).find((start) => line.startsWith(start));
    if (found === undefined) throw new Error(`spawn ${program} ENOENT`);
    return answers[found] as CommandResult;
  };
  return { run, lines };
}

t.test('versions', async (t) => {
  const cases: readonly [string, object][] = [
    ['iptables v1.8.9 (nf_tables)\n', { text: '1.8.9', backend: 'nft', randomFully: true }],
    ['iptables v1.8.10 (legacy)\n', { text: '1.8.10', backend: 'legacy', randomFully: true }],
    ['iptables v1.6.1\n', { text: '1.6.1', backend: 'legacy', randomFully: false }],
    ['iptables v1.6.2\n', { text: '1.6.2', backend: 'legacy', randomFully: true }],
    ['ip6tables v2.0\n', { text: '2.0.0', backend: 'legacy', randomFully: true }],
  ];
  for (const [stdout, expected] of cases) {
    const { run } = fakeRun({ 'iptables --version': answer({ stdout }) });
    t.match((await XtablesTool.open('IPv4', 'iptables', run)).version, expected, stdout);
  }
});

t.test('a tool that is missing or strange', async (t) => {
  const cases: readonly [Readonly<Record<string, CommandResult>>, RegExp][] = [
    [{}, /iptables cannot be started: spawn iptables ENOENT/],
    [{ iptables: answer({ status: 1, stderr: 'no kernel' }) }, /--version answered: no kernel/],
    [{ iptables: answer({ stdout: 'busybox' }) }, /--version answered: busybox/],
  ];
  for (const [answers, message] of cases) {
    const expected = { code: 'PENSTOCK_XTABLES_MISSING', message, remedy: /Install iptables/ };
    await t.rejects(XtablesTool.open('IPv4', 'iptables', fakeRun(answers).run), expected);
  }
});

function tool(answers: Readonly<Record<string, CommandResult>>) {
  const { run, lines } = fakeRun(answers);
  const version = { text: '1.8.9', backend: 'nft', randomFully: true } as const;
  return { tool: new XtablesTool('IPv6', 'ip6tables', version, run), lines };
}

t.test('restore, save and list', async (t) => {
  const { tool: ip6, lines } = tool({
    'ip6tables-restore': answer(),
    'ip6tables-save': answer({ stdout: 'saved' }),
    'ip6tables -w 5 -t nat -S GONE': answer({ status: 1, stderr: 'No chain' }),
    'ip6tables -w 5 -t nat -S BUSY': answer({ status: 4, stderr: 'lock' }),
    'ip6tables -w 5 -t nat -S X': answer({ stdout: '-N X\n-A X -j DROP\n' }),
  });
  const input = new RestoreInput();
  input.add('*nat\nCOMMIT\n');
  await ip6.restore(input);
  t.equal(await ip6.save('nat'), 'saved');
  t.same(await ip6.listChain('nat', 'X'), ['-A X -j DROP']);
  t.equal(await ip6.listChain('nat', 'GONE'), undefined);
  await t.rejects(ip6.listChain('nat', 'BUSY'), {
    code: 'PENSTOCK_XTABLES_FAILED',
    message: /-S BUSY failed with status 4: lock/,
  });
  t.equal(ip6.description, 'ip6tables 1.8.9 (nft)');
  t.same(lines.slice(0, 2), [
    'ip6tables-restore -w 5 --noflush --counters <*nat\nCOMMIT\n',
    'ip6tables-save -t nat',
  ]);
});

t.test('a save that fails', async (t) => {
  const { tool: ip6 } = tool({ 'ip6tables-save': answer({ status: 3, stderr: 'no table' }) });
  await t.rejects(ip6.save('nat'), { code: 'PENSTOCK_XTABLES_FAILED', message: /no table/ });
});

t.test('refusals: which line, whose, and whether it is worth another try', async (t) => {
  const lines = ['*nat', ':A - [0:0]', '-A A -j DROP', '-A A -j B', 'COMMIT'];
  const input = new RestoreInput();
  input.add(`${lines[0]}\n`);
  input.add(`${lines[1]}\n${lines[2]}\n`, 'shop/cart/TCP');
  input.add(`${lines[3]}\n`, 'shop/b/TCP');
  input.add(`${lines[4]}\n`);
  const cases: readonly [string, number, string, object][] = [
    [
      'nft, kernel',
      4,
      'ip6tables-restore v1.8.9 (nf_tables): \nline 4: RULE_APPEND failed (No such file or directory): rule in chain A',
      { line: 4, owner: 'shop/b/TCP', lineText: lines[3], transient: false },
    ],
    [
      'nft, missing',
      1,
      'ip6tables-restore v1.8.9 (nf_tables): line 3 failed: No chain/target/match by that name.',
      { line: 3, owner: 'shop/cart/TCP', lineText: lines[2], transient: false },
    ],
    [
      'text',
      2,
      "unknown option\nError occurred at line: 2\nTry `iptables-restore -h'",
      { line: 2, owner: 'shop/cart/TCP', transient: false },
    ],
    [
      'legacy, kernel',
      1,
      'ip6tables-restore: line 5 failed',
      { line: 5, owner: undefined, lineText: 'COMMIT', transient: false },
    ],
    [
      'lock',
      4,
      'Another app is currently holding the xtables lock. Perhaps you want to use the -w option?',
      { line: undefined, owner: undefined, transient: true },
    ],
    [
      'killed',
      137,
      '',
      {
        message: 'ip6tables-restore was ended by SIGKILL before it was done',
        owner: undefined,
        transient: true,
      },
    ],
    ['ended', 143, '', { owner: undefined, transient: true }],
    ['it fell over the rules', 139, '', { owner: undefined, transient: false }],
    [
      'nft, no memory',
      4,
      'ip6tables-restore v1.8.9 (nf_tables): \nline 4: RULE_APPEND failed (Cannot allocate memory): rule in chain A',
      { line: 4, transient: true },
    ],
    ['a line that is not there', 1, 'line 99 failed', { line: 99, owner: undefined, lineText: undefined }],
  ];
  for (const [name, status, stderr, expected] of cases) {
    const { tool: ip6 } = tool({ 'ip6tables-restore': answer({ status, stderr }) });
    await t.rejects(ip6.restore(input), { code: 'PENSTOCK_RESTORE_REFUSED', ...expected }, name);
  }
});

t.test('which backend', async (t) => {
  const nft = answer({ stdout: 'iptables v1.8.9 (nf_tables)' });
  const legacy = answer({ stdout: 'iptables v1.8.9 (legacy)' });
  const versions = {
    'iptables --version': legacy,
    'iptables-nft --version': nft,
    'iptables-legacy --version': legacy,
  };
  const lines: string[] = [];
  /** With these chains in table mangle of nf_tables, and these tables of iptables-legacy. */
  const open = async (
    wanted: 'auto' | 'nft' | 'legacy',
    answers: Readonly<Record<string, CommandResult>>,
    { nftChains = [], tables = [] }: { nftChains?: readonly string[]; tables?: readonly string[] } = {},
  ) => {
    const fake = fakeRun(answers);
    const tool = await openXtables('IPv4', wanted, {
      run: fake.run,
      nftChainExists: async (family, table, chain) =>
        family === 'IPv4' && table === 'mangle' && nftChains.includes(chain),
      legacyTables: async () => tables,
    });
    lines.splice(0, lines.length, ...fake.lines);
    return tool.description;
  };

  const usualIsNft = { ...versions, 'iptables --version': nft };
  t.equal(await open('nft', usualIsNft), 'iptables 1.8.9 (nft)', 'the usual one is the wanted one');
  t.equal(await open('legacy', usualIsNft), 'iptables-legacy 1.8.9 (legacy)');
  t.equal(await open('nft', versions), 'iptables-nft 1.8.9 (nft)');
  t.equal(await open('nft', { 'iptables-nft --version': nft }), 'iptables-nft 1.8.9 (nft)', 'no usual one');
  t.equal(await open('auto', usualIsNft), 'iptables 1.8.9 (nft)', 'no hint anywhere');
  t.same(lines, ['iptables --version'], 'and only one process to find that out');

  const canary = { nftChains: ['KUBE-KUBELET-CANARY'] };
  t.equal(await open('auto', usualIsNft, canary), 'iptables 1.8.9 (nft)', 'a hint in the usual one');
  t.equal(await open('auto', versions, canary), 'iptables-nft 1.8.9 (nft)', 'a hint in the other one');
  t.equal(
    await open('auto', { 'iptables --version': legacy }, canary),
    'iptables 1.8.9 (legacy)',
    'which is not there',
  );

  const saved = (text: string) => ({ 'iptables-legacy-save -t mangle': answer({ stdout: text }) });
  const hint = saved('*mangle\n:KUBE-IPTABLES-HINT - [0:0]\nCOMMIT\n');
  const tables = { tables: ['mangle'] };
  t.equal(await open('auto', { ...hint, ...usualIsNft }, tables), 'iptables-legacy 1.8.9 (legacy)');
  const noHint = saved('*mangle\n:MINE - [0:0]\n-A MINE -j KUBE-IPTABLES-HINT\nCOMMIT\n');
  t.equal(await open('auto', { ...noHint, ...usualIsNft }, tables), 'iptables 1.8.9 (nft)', 'no hint');
  await t.rejects(open('auto', {}), { code: 'PENSTOCK_XTABLES_MISSING' });
  await t.rejects(open('legacy', { 'iptables --version': nft }), { code: 'PENSTOCK_XTABLES_MISSING' });
});
