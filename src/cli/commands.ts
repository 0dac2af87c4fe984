/** Every command of penstock. */
import type { Command } from './Command.js';

type Run = Awaited<ReturnType<Command['load']>>;

/** A file is loaded when its command is called: it exports the command and its HELP. */
function madeIn<Name extends string>(
  load: () => Promise<{ readonly HELP: string } & { readonly [Each in Name]: Run }>,
  name: Name,
): Pick<Command, 'load' | 'help'> {
  return { load: async () => (await load())[name], help: async () => (await load()).HELP };
}

export const COMMANDS: Readonly<Record<string, Command>> = {
  run: {
    summary: 'serve Services on this node',
    group: 'Serve',
    failure: 1,
    load: async () => (await import('./serve/runReduced.js')).runReduced,
    help: async () => (await import('../config/flags/flagHelp.js')).flagHelp(),
  },
  status: {
    summary: 'say how penstock does on this node, and test it',
    group: 'See',
    failure: 2,
    ...madeIn(() => import('./see/status.js'), 'status'),
  },
  services: {
    summary: 'list what this node serves, and what it cannot serve',
    group: 'See',
    failure: 2,
    ...madeIn(() => import('./see/services.js'), 'services'),
  },
  endpoints: {
    summary: 'list endpoints, their pods and who may reach them',
    group: 'See',
    failure: 2,
    ...madeIn(() => import('./see/endpoints.js'), 'endpoints'),
  },
  connections: {
    summary: 'list connections to Services, by name',
    group: 'See',
    failure: 2,
    ...madeIn(() => import('./see/traffic/connections.js'), 'connections'),
  },
  top: {
    summary: 'show live which Services have new, open, silent and failed connections',
    group: 'See',
    failure: 2,
    ...madeIn(() => import('./see/traffic/top.js'), 'top'),
  },
  flows: {
    summary: 'list connections that were refused or dropped, by name and reason',
    group: 'See',
    failure: 2,
    ...madeIn(() => import('./see/flows.js'), 'flows'),
  },
  diff: {
    summary: 'compare the rules in the kernel with those that the objects ask for',
    group: 'See',
    failure: 2,
    ...madeIn(() => import('./see/diff/diff.js'), 'diff'),
  },
  sysdump: {
    summary: 'gather what is needed to find a fault in one archive, without secrets',
    group: 'See',
    failure: 2,
    ...madeIn(() => import('./see/dump/sysdump.js'), 'sysdump'),
  },
  explain: {
    summary: 'say what becomes of a connection, and why; needs no root',
    group: 'See',
    failure: 2,
    ...madeIn(() => import('./see/explain.js'), 'explain'),
  },
  web: {
    summary: 'serve a page with all of this, on loopback',
    group: 'See',
    failure: 2,
    ...madeIn(() => import('./see/web.js'), 'web'),
  },
  selftest: {
    summary: 'prove that every kind of VIP works, here or in namespaces of its own',
    group: 'See',
    failure: 2,
    ...madeIn(() => import('./see/selftest/selftest.js'), 'selftest'),
  },
  render: {
    summary: 'print the rules that would be written; needs no root',
    group: 'See',
    failure: 1,
    ...madeIn(() => import('./see/render.js'), 'render'),
  },
  compare: {
    summary: "say where another proxy's rules lead clients elsewhere than penstock would",
    group: 'Replace and return',
    failure: 2,
    ...madeIn(() => import('./swap/compare.js'), 'compare'),
  },
  migrate: {
    summary: 'report what changes on a node when penstock replaces kube-proxy',
    group: 'Replace and return',
    failure: 2,
    ...madeIn(() => import('./migrate/migrate.js'), 'migrate'),
  },
  leave: {
    summary: 'hand this node back to another proxy as soon as its rules are in force',
    group: 'Replace and return',
    failure: 2,
    ...madeIn(() => import('./swap/leave.js'), 'leave'),
  },
  config: {
    summary: 'check a configuration of kube-proxy; needs no cluster and no root',
    group: 'Replace and return',
    failure: 2,
    ...madeIn(() => import('./swap/config.js'), 'config'),
  },
  lb: {
    summary: 'say who announces which address, and why not; move an address',
    group: 'Balance',
    failure: 2,
    ...madeIn(() => import('./balance/lb.js'), 'lb'),
  },
  allocator: {
    summary: 'give Services of type LoadBalancer their addresses; once a cluster',
    group: 'Balance',
    failure: 1,
    ...madeIn(() => import('./balance/allocator.js'), 'allocator'),
  },
  scaler: {
    summary: 'tell KEDA which Services are wanted; once a cluster',
    group: 'Balance',
    failure: 1,
    ...madeIn(() => import('./scale/scaler.js'), 'scaler'),
  },
  doctor: {
    summary: 'say what this kernel and host can, and what stands in the way',
    group: 'Host',
    failure: 1,
    ...madeIn(() => import('./host/doctor.js'), 'doctor'),
  },
  cleanup: {
    summary: 'remove everything that penstock made in the kernel',
    group: 'Host',
    failure: 1,
    ...madeIn(() => import('./host/cleanup.js'), 'cleanup'),
  },
  completion: {
    summary: 'print what a shell needs to complete commands and flags',
    group: 'Host',
    failure: 1,
    load: async () => {
      const { completion } = await import('./manual/completion.js');
      return (argv) => completion(argv, COMMANDS);
    },
    help: async () => (await import('./manual/completion.js')).HELP,
  },
  version: {
    summary: 'print the version',
    group: 'Host',
    failure: 1,
    ...madeIn(() => import('./version.js'), 'version'),
  },
};
