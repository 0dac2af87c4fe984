/** deploy/: every reference leads somewhere, and what is deployed is what penstock takes. */
import { existsSync } from 'node:fs';
import t from 'tap';
import { parse } from 'yaml';
import { parseRunCommand } from '../../../src/config/flags/parseRunCommand.js';
import {
  type Container,
  containersOf,
  document,
  documents,
  FOLDERS,
  filesOf,
  type Kustomization,
  type PodSpec,
  ROOT,
  read,
} from './deployFiles.js';

const kustomization = (folder: string) => document<Kustomization>(`${folder}/kustomization.yaml`);
const daemonSet = document('base/daemon-set.yaml');
const podSpec = daemonSet.spec.template.spec;

/** The run that a container's arguments mean, with a folder of deploy/ as /etc/penstock. */
function runOf(spec: PodSpec, name: string, folder: string) {
  const args = containersOf(spec).find((container) => container.name === name)?.args ?? [];
  const command = parseRunCommand(
    args.slice(1).map((text) => text.replace('$(NODE_NAME)', 'node1')),
    {
      readFile: (path) => read(path.replace('/etc/penstock/', `deploy/${folder}/`)),
      hostname: () => 'other',
    },
  );
  if (args[0] !== 'run' || command.type !== 'run') throw new Error(`${name} does not run: ${args.join(' ')}`);
  return command;
}

t.test('every file is YAML, and part of something', (t) => {
  t.strictSame(FOLDERS, [
    'allocator',
    'balancer',
    'base',
    'cleanup',
    'monitoring',
    'node-by-node',
    'podmonitor',
    'scaler',
    'seccomp',
    'side-by-side',
    'userspace',
    'wake',
  ]);
  const byHand = new Set([
    'kustomization.yaml',
    'kube-proxy-elsewhere.yaml',
    'rules.yaml',
    'rules.test.yaml',
  ]);
  for (const folder of FOLDERS) {
    const { resources = [], components = [], configMapGenerator = [] } = kustomization(folder);
    const files = configMapGenerator.flatMap((map) => map.files);
    for (const name of [...resources, ...components, ...files]) {
      const leadsTo = name.startsWith('../') ? `${name}/kustomization.yaml` : name;
      t.ok(existsSync(`${ROOT}deploy/${folder}/${leadsTo}`), `${folder}: ${name}`);
    }
    for (const file of filesOf(folder)) {
      t.not(documents(`${folder}/${file}`).length, 0, `${folder}/${file}`);
      t.ok(byHand.has(file) || resources.includes(file) || files.includes(file), `${folder}/${file} is used`);
    }
  }
  t.end();
});

t.test('patches name what there is, and paths that are there', (t) => {
  for (const folder of FOLDERS) {
    for (const { patch, target } of kustomization(folder).patches ?? []) {
      t.equal(target.name, daemonSet.metadata.name);
      for (const { op, path } of parse(patch) as readonly { op: string; path: string }[]) {
        const keys = path.slice(1).split('/');
        const parent = op === 'add' ? keys.slice(0, -1) : keys;
        let at: unknown = daemonSet;
        for (const key of parent) at = (at as Record<string, unknown> | undefined)?.[key];
        t.ok(at, `${folder}: ${path}`);
      }
    }
  }
  t.end();
});

for (const file of ['base/daemon-set.yaml', 'cleanup/daemon-set.yaml']) {
  t.test(`${file}: mounts have volumes, volumes have sources, labels are selected`, (t) => {
    const { selector, template } = document(file).spec;
    t.has(template.metadata.labels, selector.matchLabels);
    const volumes = template.spec.volumes;
    for (const { name, volumeMounts = [] } of containersOf(template.spec)) {
      for (const mount of volumeMounts) {
        t.ok(
          volumes.some((volume) => volume.name === mount.name),
          `${name}: ${mount.name}`,
        );
      }
    }
    const maps = kustomization('base').configMapGenerator ?? [];
    for (const { configMap } of volumes) if (configMap) t.ok(maps.some((map) => map.name === configMap.name));
    t.end();
  });
}

t.test('who looks at processes is not kept from it by AppArmor', (t) => {
  const { metadata, spec } = document('cleanup/daemon-set.yaml').spec.template;
  const { annotations = {} } = metadata as { annotations?: Readonly<Record<string, string>> };
  for (const { name, securityContext } of containersOf(spec)) {
    const { privileged, capabilities } = securityContext as {
      privileged?: boolean;
      capabilities?: { add: readonly string[] };
    };
    // A privileged container has no profile.
    const isFree =
      privileged || annotations[`container.apparmor.security.beta.kubernetes.io/${name}`] === 'unconfined';
    t.ok(isFree, name);
    t.ok(privileged || capabilities?.add.includes('SYS_PTRACE'), name);
  }
  t.end();
});

t.test('the agent has one capability, and the node outlives everything else', (t) => {
  const [init, agent] = containersOf(podSpec);
  t.match(init?.securityContext, { privileged: true, readOnlyRootFilesystem: true });
  t.strictSame(agent?.securityContext, {
    runAsUser: 0,
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    capabilities: { drop: ['ALL'], add: ['NET_ADMIN'] },
    seccompProfile: { type: 'RuntimeDefault' },
  });
  t.match(podSpec, {
    hostNetwork: true,
    priorityClassName: 'system-node-critical',
    tolerations: [{ operator: 'Exists' }],
    serviceAccountName: 'penstock',
  });
  t.end();
});

t.test('the role grants what the agent asks for, to the agent', (t) => {
  const [role, binding] = documents('base/rbac.yaml');
  t.match(role, { kind: 'ClusterRole', metadata: { name: 'penstock' } });
  t.strictSame((role as unknown as { rules: unknown }).rules, [
    { apiGroups: [''], resources: ['services'], verbs: ['list', 'watch'] },
    { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: ['list', 'watch'] },
    { apiGroups: ['networking.k8s.io'], resources: ['servicecidrs'], verbs: ['list', 'watch'] },
    { apiGroups: [''], resources: ['nodes'], verbs: ['list', 'watch'] },
    { apiGroups: ['events.k8s.io'], resources: ['events'], verbs: ['create', 'patch'] },
  ]);
  t.match(binding, {
    kind: 'ClusterRoleBinding',
    roleRef: { kind: 'ClusterRole', name: 'penstock' },
    subjects: [{ kind: 'ServiceAccount', name: 'penstock', namespace: 'kube-system' }],
  });
  t.match(document('base/service-account.yaml'), { kind: 'ServiceAccount', metadata: { name: 'penstock' } });
  t.end();
});

type Ports = NonNullable<Container['ports']>;

const portsPatch = kustomization('side-by-side').patches?.[0]?.patch ?? '';
const PORTS_OF: Readonly<Record<'base' | 'side-by-side', Ports>> = {
  base: podSpec.containers[0]?.ports ?? [],
  'side-by-side': (parse(portsPatch) as readonly { value: Ports }[])[0]?.value ?? [],
};

for (const folder of ['base', 'side-by-side'] as const) {
  t.test(`${folder}: the configuration is valid, and its ports are the pod's`, (t) => {
    const { config, options } = runOf(podSpec, 'penstock', folder);
    t.equal(config.nodeName, 'node1');
    t.equal(config.mode, 'nftables');
    t.equal(config.detectLocal.type, 'NodeCIDR');
    t.equal(config.nodePortAddresses, 'primary');
    t.equal(config.clientConnection.kubeconfig, '/etc/penstock/kubeconfig.yaml');
    t.equal(options.initOnly, false);
    t.equal(runOf(podSpec, 'init', folder).options.initOnly, true);
    t.strictSame(PORTS_OF[folder], [
      { name: 'health', containerPort: config.healthz?.port },
      { name: 'metrics', containerPort: config.metrics.port },
    ]);
    t.end();
  });
}

t.test('side by side, nothing is shared with kube-proxy', (t) => {
  const { config } = runOf(podSpec, 'penstock', 'side-by-side');
  const usual = runOf(podSpec, 'penstock', 'base').config;
  t.equal(config.serviceProxyName, 'penstock');
  t.not(config.masqueradeMark, usual.masqueradeMark);
  t.not(config.healthz?.port, usual.healthz?.port);
  t.not(config.metrics.port, usual.metrics.port);
  t.match(config.conntrack, { maxPerCore: 0, tcpEstablishedTimeout: 0, tcpCloseWaitTimeout: 0 });
  t.end();
});

t.test('probes and the PodMonitor ask ports that have a name', (t) => {
  const agent = podSpec.containers[0];
  const names = PORTS_OF.base.map((port) => port.name);
  t.match(agent?.readinessProbe?.httpGet, { path: '/readyz', port: 'health' });
  t.match(agent?.livenessProbe?.httpGet, { path: '/livez', port: 'health' });
  const monitor = document('podmonitor/pod-monitor.yaml');
  t.has(daemonSet.spec.template.metadata.labels, monitor.spec.selector.matchLabels);
  for (const { port, relabelings } of monitor.spec.podMetricsEndpoints) {
    t.ok(names.includes(port));
    t.match(relabelings, [{ targetLabel: 'node' }, { targetLabel: 'job', replacement: 'kube-proxy' }]);
  }
  t.ok(names.includes('health'));
  t.end();
});

t.test('mode userspace: the new pod can be beside the old one, takes over, and has time', (t) => {
  const patch = parse(kustomization('userspace').patches?.[0]?.patch ?? '') as readonly {
    readonly op: string;
    readonly path: string;
    readonly value?: unknown;
  }[];
  const at = (path: string) => patch.find((each) => each.path === path);
  t.match(at('/spec/updateStrategy/rollingUpdate')?.value, { maxSurge: 1, maxUnavailable: 0 });
  const agent = '/spec/template/spec/containers/0';
  t.equal(at(`${agent}/ports`)?.op, 'remove', 'the scheduler would keep two pods with one host port apart');
  const { config } = runOf(podSpec, 'penstock', 'base');
  for (const probe of ['readinessProbe', 'livenessProbe'])
    t.equal(at(`${agent}/${probe}/httpGet/port`)?.value, config.healthz?.port);
  t.equal(at(`${agent}/args/-`)?.value, '--takeover');
  t.equal(at(`${agent}/securityContext/capabilities/add/-`)?.value, 'NET_RAW');
  const seconds = Number(at('/spec/template/spec/terminationGracePeriodSeconds')?.value);
  t.ok(seconds * 1000 > config.userspace.shutdownTimeout + 5000, `${seconds} s`);
  t.end();
});

t.test('the kubeconfig holds together, and uses the pod’s own credentials', (t) => {
  const { clusters, users, contexts, ...rest } = document<{
    readonly clusters: readonly { name: string; cluster: object }[];
    readonly users: readonly { name: string; user: object }[];
    readonly contexts: readonly { name: string; context: { cluster: string; user: string } }[];
  }>('base/kubeconfig.yaml');
  const [context] = contexts;
  t.match(rest, { 'current-context': context?.name });
  t.equal(clusters[0]?.name, context?.context.cluster);
  t.equal(users[0]?.name, context?.context.user);
  t.match(users[0]?.user, { tokenFile: '/var/run/secrets/kubernetes.io/serviceaccount/token' });
  t.end();
});

t.test('one image name and version in all kustomizations: that of package.json', (t) => {
  const { version } = JSON.parse(read('package.json')) as { version: string };
  for (const folder of ['base', 'cleanup']) {
    const { images } = document<{ images: readonly object[] }>(`${folder}/kustomization.yaml`);
    t.strictSame(images, [{ name: 'penstock', newName: 'penstock', newTag: version }]);
    for (const container of containersOf(document(`${folder}/daemon-set.yaml`).spec.template.spec)) {
      t.equal(container.image, 'penstock');
    }
  }
  t.end();
});
