/** Lines in blocks of the docs that a reader types, but for penstock, kubectl and helm, and what runs each of them. */
import type { Doc } from './docs.js';

/** Programs that docs of this kind name. A line that begins with one, after `sudo`, is a command. */
const PROGRAMS =
  'apt apt-get bash bpftool cat cd chmod chown conntrack cp crictl ctr curl dig dnf docker dpkg dpkg-query echo export git go grep ' +
  'ip6tables-save iptables-save ip6tables iptables ipset ipvsadm journalctl jq k3s kind kubeadm ln lsmod make minikube mkdir modprobe mount ' +
  'mv nerdctl nft node npm npx nsenter perf podman ps python3 qemu-system-x86_64 rke2 rm rpm rsync scp sed sh snap ss ssh sudo sysctl ' +
  'systemctl systemd-run tar tcpdump tee umount unshare vagrant wget xargs yum zypper';
const IS_COMMAND = new RegExp(
  String.raw`^(?:sudo )?(?:(?:${PROGRAMS.replaceAll(' ', '|')}) |\.?/?scripts/\w)`,
);
/** What a program prints, and nftables' rules, begin with such words as well. */
const IS_OUTPUT = /^(iptables|ip6tables)(:|, | drops)|^ip (penstock|fw|daddr|saddr)|^for /;
/** documentation.test.ts, docsKubectl.test.ts. */
const IS_TESTED = /^(sudo )?(bin\/penstock|penstock|kubectl|helm) /;

export interface DocCommand {
  readonly path: string;
  readonly line: string;
}

export function commandsIn(docs: readonly Doc[]): readonly DocCommand[] {
  return docs.flatMap(({ path, blocks }) =>
    blocks
      .flatMap((block) => block.split('\n'))
      .map((line) =>
        line
          .replace(/^\s*(\$ )?/, '')
          .replace(/\s{2,}(#.*|number, port.*)$/, '')
          .trimEnd(),
      )
      .filter((line) => IS_COMMAND.test(line) && !IS_OUTPUT.test(line) && !IS_TESTED.test(line))
      .map((line) => ({ path, line })),
  );
}

export interface CommandClass {
  readonly lines: RegExp;
  /** The file that runs them, and what of it does; or why nothing here can. */
  readonly run: readonly [file: string, words: string] | { readonly cannot: string };
}

const NO_REGISTRY = 'it pushes to a registry, or needs the daemon of Docker: neither is here';

export const CLASSES: readonly CommandClass[] = [
  // As written, by a test that reads them from the docs.
  {
    lines: /^(curl |nft (-t )?list |cat \/proc\/|iptables -I )/,
    run: ['test/system/cli/docsCommands.test.ts', 'HERE'],
  },
  {
    lines: /^kubeadm init phase addon kube-proxy$/,
    run: ['test/unit/deploy/docsKubectl.test.ts', 'kubeadm'],
  },
  // By scripts, word for word or nearly so.
  {
    lines: /^systemctl enable --now penstock$/,
    run: ['scripts/lib/release/inside-systemd', 'systemctl enable --now penstock'],
  },
  {
    lines: /^systemctl status penstock$/,
    run: ['scripts/lib/release/inside-systemd', 'systemctl status penstock)'],
  },
  {
    lines: /^systemctl reload penstock$/,
    run: ['scripts/lib/release/inside-systemd', 'systemctl reload penstock'],
  },
  {
    lines: /^systemctl stop penstock$/,
    run: ['scripts/lib/release/inside-systemd', 'systemctl stop penstock'],
  },
  { lines: /^apt install \.\/penstock_/, run: ['scripts/lib/release/inside-deb', 'apt install'] },
  {
    lines: /^npm install --global \.\/penstock-/,
    run: ['scripts/lib/release/check-npm', 'npm install --global'],
  },
  { lines: /^npm ci && npm run build && npm run build:native$/, run: ['scripts/setup', 'npm ci'] },
  { lines: /^npx tsc -p tsconfig\.json$/, run: ['scripts/test', 'npx tsc -p tsconfig.json'] },
  { lines: /^\.\/scripts\/test$/, run: ['.ci/run', 'scripts/test'] },
  { lines: /^\.\/scripts\/demo$/, run: ['.ci/run', 'scripts/demo'] },
  { lines: /^\.\/scripts\/compare /, run: ['test/system/scripts/compare.test.ts', 'scripts/compare'] },
  { lines: /^\.\/scripts\/vm (ipvsadm|node|--timeout)/, run: ['test/support/inVm.ts', 'scripts/vm'] },
  { lines: /^ipvsadm -Ln; ipset list; /, run: ['test/system/vm/ipvsGolden.test.ts', 'ipvsadm'] },
  // Minutes each: by hand, before a release.
  { lines: /^\.\/scripts\/release( check)?$/, run: { cannot: 'it takes 20 minutes: run by hand' } },
  {
    lines: /^\.\/scripts\/vm --qemu /,
    run: { cannot: 'each instruction is emulated, it takes 15 minutes: run by hand' },
  },
  { lines: /^docker (build|push|load) /, run: { cannot: NO_REGISTRY } },
  { lines: /^vagrant /, run: { cannot: 'it needs KVM and a box from vagrantcloud.com' } },
];
