/** HTTP answers: those that kube-proxy was recorded with, and ours as raw as they came. */
import { request } from 'node:http';
import { readShared } from './shared.js';

export interface Answer {
  readonly status: number;
  /** By name in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

/** `name` below stock/golden, without `.http`. Undefined where the connection was refused. */
export function recordedAnswer(name: string): Answer | undefined {
  const text = readShared(`stock/golden/${name}.http`).replace(/\[curl rc \d+\]\s*$/, '');
  const end = /\r?\n\r?\n/.exec(text);
  if (end === null) return undefined;
  const [statusLine = '', ...lines] = text.slice(0, end.index).split(/\r?\n/);
  const headers = lines.map((line): [string, string] => {
    const colon = line.indexOf(':');
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
  });
  // Some files end with a line break that is not the server's.
  const length = new Map(headers).get('content-length');
  const rest = Buffer.from(text.slice(end.index + end[0].length));
  const body = rest.subarray(0, length === undefined ? undefined : Number(length)).toString();
  return { status: Number(statusLine.split(' ')[1]), headers: new Map(headers), body };
}

export function ask(url: string, method = 'GET'): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asking = request(url, { method, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const headers = Object.entries(response.headersDistinct).map(([name, values]): [string, string] => [
          name,
          values?.join(', ') ?? '',
        ]);
        const body = Buffer.concat(chunks).toString();
        resolve({ status: response.statusCode ?? 0, headers: new Map(headers), body });
      });
    });
    asking.on('error', reject);
    asking.end();
  });
}
