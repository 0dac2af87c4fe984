/** Debian's nginx and HAProxy with what examples/path writes for them. */
import { execFileSync, spawnSync } from 'node:child_process';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { fileURLToPath } from 'node:url';
import { plain } from './iptables.js';

const CONTROLLER = fileURLToPath(new URL('../../examples/path/controller.js', import.meta.url));

/** Why tests with real proxies cannot run here; false when they can. */
export function noProxies(): string | false {
  const missing = ['nginx', 'haproxy', 'openssl'].filter(
    (name) => spawnSync('sh', ['-c', `command -v ${name}`]).status !== 0,
  );
  return (
    missing.length > 0 && `${missing.join(', ')} not installed: apt-get install nginx-light haproxy openssl`
  );
}

/** What the controller said. */
export function runController(...args: readonly string[]): {
  readonly said: string;
  readonly status: number | null;
} {
  const [program, words] = plain(process.execPath, CONTROLLER, '--once', ...args);
  const ended = spawnSync(program, words, { encoding: 'utf8' });
  return { said: ended.stderr, status: ended.status };
}

export function startNginx(folder: string): () => void {
  execFileSync(...plain('nginx', '-c', `${folder}/nginx.conf`), { stdio: ['ignore', 'ignore', 'inherit'] });
  return () =>
    void execFileSync(...plain('nginx', '-c', `${folder}/nginx.conf`, '-s', 'stop'), { stdio: 'ignore' });
}

export function startHaproxy(folder: string): () => void {
  execFileSync(...plain('haproxy', '-D', '-f', `${folder}/haproxy.cfg`, '-p', `${folder}/pid`), {
    stdio: 'ignore',
  });
  return () => void execFileSync(...plain('sh', '-c', `kill $(cat ${folder}/pid)`));
}

export interface Answer {
  readonly status: number;
  readonly body: string;
  readonly headers: IncomingMessage['headers'];
}

export interface Question {
  readonly host: string;
  readonly path?: string;
  readonly tls?: boolean;
  readonly headers?: Readonly<Record<string, string>>;
  readonly from?: string;
  /** 127.0.0.1 unless given, and the port of the scheme. */
  readonly address?: string;
  readonly port?: number;
}

/** Asks the edge. Status 0 and the error's code as body when there is no answer. */
export function askEdge(question: Question): Promise<Answer> {
  const { host, path = '/', tls = false, headers = {}, from, address = '127.0.0.1' } = question;
  const options = {
    host: address,
    port: question.port ?? (tls ? 443 : 80),
    path,
    headers: { ...headers, host },
    agent: false as const,
    timeout: 5000,
    ...(from === undefined ? {} : { localAddress: from }),
    ...(tls ? { servername: host, rejectUnauthorized: false } : {}),
  };
  return new Promise((resolve) => {
    const asked = (tls ? httpsRequest : httpRequest)(options, (response) => {
      let body = '';
      response.on('data', (chunk) => {
        body += chunk;
      });
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, body, headers: response.headers }),
      );
    });
    asked.on('timeout', () => asked.destroy(new Error('timeout')));
    asked.on('error', (error: NodeJS.ErrnoException) =>
      resolve({ status: 0, body: error.code ?? error.message, headers: {} }),
    );
    asked.end();
  });
}
