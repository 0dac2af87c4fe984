/**
 * What runs in a network namespace of the selftest: a pod, which answers, or a client, which dials. It is told what to do line
 * by line on its standard input, and ends with it: nothing stays when whoever started it dies.
 */
import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';
import type { IpAddress } from '../../../net/ip.js';
import { joinHostPort } from '../../../net/ip.js';
import { type DialAnswer, type DialOptions, dial } from './dial.js';
import { Traffic, type TrafficReport, type TrafficTargets } from './Traffic.js';

/** The port of every endpoint. */
export const PEER_PORT = 8080;

export type PeerQuestion =
  | { readonly do: 'serve'; readonly addresses: readonly string[] }
  | { readonly do: 'dial'; readonly options: DialOptions }
  | { readonly do: 'begin'; readonly targets: TrafficTargets }
  | { readonly do: 'end' };
export type PeerAnswer = { readonly error: string } | DialAnswer | TrafficReport | { readonly type: 'done' };

/** Resolves when there is nobody left who could ask. */
export async function runPeer(): Promise<number> {
  const state: { traffic?: Traffic } = {};
  for await (const line of createInterface({ input: process.stdin })) {
    const { id, question } = JSON.parse(line) as { id: number; question: PeerQuestion };
    const say = (answer: PeerAnswer) => process.stdout.write(`${JSON.stringify({ id, answer })}\n`);
    answerTo(question, state).then(say, (error: Error) => say({ error: error.message }));
  }
  process.exit(0);
}

async function answerTo(question: PeerQuestion, state: { traffic?: Traffic }): Promise<PeerAnswer> {
  switch (question.do) {
    case 'serve':
      for (const address of question.addresses) await serve(address);
      return { type: 'done' };
    case 'dial':
      return dial(question.options);
    case 'begin':
      state.traffic = await Traffic.begin(question.targets);
      return { type: 'done' };
    case 'end':
      if (!state.traffic) throw new Error('nothing was begun');
      return state.traffic.end();
  }
}

/** Answers with its own address and the one that it sees: `10.244.0.11:8080 192.168.50.1`. Over TCP it then echoes. */
async function serve(address: string): Promise<void> {
  const own = joinHostPort(address as IpAddress, PEER_PORT);
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.write(`${own} ${socket.remoteAddress ?? ''}\n`);
    socket.pipe(socket);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen({ host: address, port: PEER_PORT }, resolve);
  });
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
  socket.on('message', (_, from) =>
    socket.send(`${own} ${from.address}\n`, from.port, from.address, () => {}),
  );
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject).bind({ address, port: PEER_PORT }, resolve);
  });
  socket.on('error', () => {});
}
