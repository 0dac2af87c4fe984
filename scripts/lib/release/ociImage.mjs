// An image as an OCI archive, from a root file system of scripts/rootfs: ociImage.mjs FOLDER TARGET FILE. `docker load`,
// `ctr images import`, `podman load` and `skopeo copy oci-archive:FILE` read it. The image says what deploy/Dockerfile says.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { gzipSync } from 'node:zlib';
import { readStages, stagesFor } from '../dockerfile.mjs';

const [rootfs, target, file] = process.argv.slice(2);
const { SOURCE_DATE_EPOCH: epoch, version, arch: architecture } = process.env;
const created = new Date(Number(epoch) * 1000).toISOString().replace('.000', '');
/** Of the making, not of the image. */
const LEFT_OUT = ['dev', 'proc', 'sys', 'run', 'tmp', 'mnt', 'var/log', 'var/tmp', 'var/cache', 'var/lib/apt/lists'];
const LEFT_OUT_FILES = ['etc/resolv.conf', 'etc/hostname', 'etc/machine-id', 'var/lib/systemd'];

const work = mkdtempSync('.cache/image.');
const blobs = join(work, 'blobs/sha256');
mkdirSync(blobs, { recursive: true });

const layerTar = pack(join(rootfs, target), '.', [
  ...LEFT_OUT.map((path) => `--exclude=./${path}/*`),
  ...LEFT_OUT_FILES.map((path) => `--exclude=./${path}`),
]);
const layer = blob(gzipSync(layerTar, { level: 9 }), 'application/vnd.oci.image.layer.v1.tar+gzip');
const config = blob(
  json({
    created,
    architecture,
    os: 'linux',
    config: {
      Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
      WorkingDir: '/',
      ...settings(),
      Labels: {
        'org.opencontainers.image.title': 'penstock',
        'org.opencontainers.image.version': version,
        'org.opencontainers.image.licenses': 'Apache-2.0',
      },
    },
    rootfs: { type: 'layers', diff_ids: [digest(layerTar)] },
    history: [{ created, created_by: `deploy/Dockerfile, target ${target}` }],
  }),
  'application/vnd.oci.image.config.v1+json',
);
const manifest = blob(
  json({ schemaVersion: 2, mediaType: 'application/vnd.oci.image.manifest.v1+json', config, layers: [layer] }),
  'application/vnd.oci.image.manifest.v1+json',
);
const name = target === 'penstock' ? 'penstock' : `penstock-${target}`;
const annotations = {
  'io.containerd.image.name': `docker.io/library/${name}:${version}`,
  'org.opencontainers.image.ref.name': version,
};
const platform = { architecture, os: 'linux' };
const manifests = [{ ...manifest, platform, annotations }];
writeFileSync(join(work, 'index.json'), json({ schemaVersion: 2, mediaType: 'application/vnd.oci.image.index.v1+json', manifests }));
writeFileSync(join(work, 'oci-layout'), json({ imageLayoutVersion: '1.0.0' }));
writeFileSync(resolve(file), pack(work, 'blobs index.json oci-layout'.split(' ')));
rmSync(work, { recursive: true });

/** ENTRYPOINT, CMD and USER as the stages of the target say them; the last one counts. */
function settings() {
  const found = {};
  for (const { steps } of stagesFor(readStages(readFileSync('deploy/Dockerfile', 'utf8')), target)) {
    for (const { instruction, text } of steps) {
      if (instruction === 'ENTRYPOINT') found.Entrypoint = JSON.parse(text);
      else if (instruction === 'CMD') found.Cmd = JSON.parse(text);
      else if (instruction === 'USER') found.User = text;
    }
  }
  return found;
}

function pack(folder, names, more = []) {
  const script = '. scripts/lib/release/pack.sh; pack "$@"';
  return execFileSync('bash', ['-euc', script, 'bash', folder, ...more, ...[names].flat()], { maxBuffer: 2 ** 31 });
}

function blob(bytes, mediaType) {
  const sum = digest(bytes);
  writeFileSync(join(blobs, sum.replace('sha256:', '')), bytes);
  return { mediaType, digest: sum, size: bytes.length };
}

function digest(bytes) {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

function json(value) {
  return Buffer.from(JSON.stringify(value));
}
