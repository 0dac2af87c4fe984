// What is in a release, CycloneDX 1.5: sbom.mjs ROOTFS FILE. The packages of npm that are in the bundle, Node.js, and the Debian
// packages of the image. The same for the same input: no random serial number, the time is $SOURCE_DATE_EPOCH.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const [rootfs, file] = process.argv.slice(2);
const { version, arch, SOURCE_DATE_EPOCH: epoch } = process.env;
const components = [...bundled(), node(), ...debian()].sort((a, b) => (a['bom-ref'] < b['bom-ref'] ? -1 : 1));
const hex = createHash('sha256').update(JSON.stringify([version, components])).digest('hex');
const bom = {
  bomFormat: 'CycloneDX',
  specVersion: '1.5',
  // A UUID of version 8, RFC 9562: from what is in the list.
  serialNumber: `urn:uuid:${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`,
  version: 1,
  metadata: {
    timestamp: new Date(Number(epoch) * 1000).toISOString().replace('.000', ''),
    component: { type: 'application', 'bom-ref': `penstock@${version}`, name: 'penstock', version, licenses: [{ license: { id: 'Apache-2.0' } }] },
  },
  components,
};
writeFileSync(file, `${JSON.stringify(bom, null, 2)}\n`);

/** esbuild says what went in: the folder of licences has a file for each. */
function bundled() {
  const { packages } = JSON.parse(readFileSync('package-lock.json', 'utf8'));
  const inside = new Set(readdirSync(join(rootfs, 'build/out/licenses')));
  const found = Object.entries(packages).flatMap(([path, { version: of, license, integrity }]) => {
    const name = /^node_modules\/((?:@[^/]+\/)?[^/]+)$/.exec(path)?.[1];
    if (name === undefined || !inside.delete(name.replace('/', '-'))) return [];
    const purl = `pkg:npm/${name.replace('@', '%40')}@${of}`;
    const hash = integrity && { alg: 'SHA-512', content: Buffer.from(integrity.replace('sha512-', ''), 'base64').toString('hex') };
    return [{ type: 'library', 'bom-ref': purl, name, version: of, purl, licenses: [{ license: { id: license } }], ...(hash && { hashes: [hash] }) }];
  });
  if (inside.size > 0) throw new Error(`package-lock.json does not know ${[...inside].join(', ')}`);
  return found;
}

function node() {
  const of = execFileSync(join(rootfs, 'nftables/usr/local/bin/node'), ['--version'], { encoding: 'utf8' }).trim().slice(1);
  const purl = `pkg:generic/node@${of}`;
  return { type: 'platform', 'bom-ref': purl, name: 'node', version: of, purl };
}

function debian() {
  const text = readFileSync(join(rootfs, 'penstock/var/lib/dpkg/status'), 'utf8');
  return text.trim().split('\n\n').flatMap((entry) => {
    const field = (name) => new RegExp(`^${name}: (.*)$`, 'm').exec(entry)?.[1];
    if (field('Status') !== 'install ok installed') return [];
    const purl = `pkg:deb/debian/${field('Package')}@${encodeURIComponent(field('Version'))}?arch=${field('Architecture')}&distro=bookworm`;
    return [{ type: 'library', 'bom-ref': purl, name: field('Package'), version: field('Version'), purl }];
  });
}
