/** Runs a credential plugin (KEP-541) and reads what it prints. */
import { execFile } from 'node:child_process';
import { PenstockError } from '../../errors.js';
import { isRawObject } from '../../objects/read/FieldReader.js';
import { parseTimestamp } from '../../objects/read/readMetadata.js';
import type { Connection, ExecPlugin } from './Connection.js';

export interface ExecCredential {
  readonly token: string | undefined;
  readonly certificate: { readonly cert: string; readonly key: string } | undefined;
  /** Milliseconds since the epoch; undefined: until the server refuses it. */
  readonly expires: number | undefined;
}

/** Milliseconds. */
const LONGEST_RUN = 60_000;

/** Rejects with PenstockError that quotes what the program wrote to stderr. */
export async function execCredential(
  plugin: ExecPlugin,
  connection: Connection,
  ca: string | undefined,
): Promise<ExecCredential> {
  return readCredential(plugin, await runPlugin(plugin, execInfo(plugin, connection, ca)));
}

function execInfo(plugin: ExecPlugin, connection: Connection, ca: string | undefined): string {
  const { server, tlsServerName, verify, proxy } = connection;
  const cluster = {
    server,
    ...(tlsServerName === undefined ? {} : { 'tls-server-name': tlsServerName }),
    ...(verify === 'nothing' ? { 'insecure-skip-tls-verify': true } : {}),
    ...(ca === undefined ? {} : { 'certificate-authority-data': Buffer.from(ca).toString('base64') }),
    ...(proxy === undefined ? {} : { 'proxy-url': proxy }),
  };
  return JSON.stringify({
    apiVersion: plugin.apiVersion,
    kind: 'ExecCredential',
    spec: { interactive: false, ...(plugin.provideClusterInfo ? { cluster } : {}) },
  });
}

function runPlugin(plugin: ExecPlugin, info: string): Promise<string> {
  const { command, args, env } = plugin;
  const options = { env: { ...process.env, ...env, KUBERNETES_EXEC_INFO: info }, timeout: LONGEST_RUN };
  return new Promise((resolve, reject) => {
    const child = execFile(command, [...args], options, (error, stdout, stderr) => {
      if (!error) return resolve(stdout);
      const why = error.code === 'ENOENT' ? 'is not installed' : stderr.trim().slice(-300) || error.message;
      reject(failed(plugin, why));
    });
    child.stdin?.end();
  });
}

function readCredential(plugin: ExecPlugin, text: string): ExecCredential {
  let raw: unknown;
  try {
    raw = JSON.parse(text);
  } catch {
    throw failed(plugin, 'printed no JSON');
  }
  if (!isRawObject(raw) || raw.kind !== 'ExecCredential') throw failed(plugin, 'printed no ExecCredential');
  if (raw.apiVersion !== plugin.apiVersion)
    throw failed(plugin, `printed apiVersion ${String(raw.apiVersion)}, must be ${plugin.apiVersion}`);
  const status = isRawObject(raw.status) ? raw.status : {};
  const token = textOf(status.token);
  const cert = textOf(status.clientCertificateData);
  const key = textOf(status.clientKeyData);
  const certificate = cert !== undefined && key !== undefined ? { cert, key } : undefined;
  if (token === undefined && certificate === undefined)
    throw failed(plugin, 'printed neither a token nor a client certificate with its key');
  return { token, certificate, expires: parseTimestamp(textOf(status.expirationTimestamp) ?? '') };
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function failed(plugin: ExecPlugin, why: string): PenstockError {
  const message = `credential plugin ${plugin.command}: ${why}`;
  return new PenstockError('PENSTOCK_EXEC_CREDENTIAL', message, {
    remedy:
      plugin.installHint ||
      'Run it by hand as the user that penstock runs as; users[].exec of the kubeconfig says how.',
  });
}
