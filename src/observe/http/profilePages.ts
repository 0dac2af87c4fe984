/** With enableProfiling: profiles of the agent's own heap and processor time, for Chrome's developer tools. */
import { Session } from 'node:inspector/promises';
import type { Page } from './MetricsServer.js';

const CPU_PROFILE_MS = 5000;

export function profilePages(): ReadonlyMap<string, Page> {
  const json = (body: () => Promise<string>): Page => ({ contentType: 'application/json', body });
  return new Map([
    ['/debug/profile', json(cpuProfile)],
    ['/debug/heap', json(heapSnapshot)],
  ]);
}

/** What the agent does in the next five seconds: a .cpuprofile. */
async function cpuProfile(): Promise<string> {
  return inSession(async (session) => {
    await session.post('Profiler.enable');
    await session.post('Profiler.start');
    await new Promise((resolve) => setTimeout(resolve, CPU_PROFILE_MS));
    const { profile } = await session.post('Profiler.stop');
    return JSON.stringify(profile);
  });
}

/** A .heapsnapshot. The agent stands still while it is taken. */
async function heapSnapshot(): Promise<string> {
  return inSession(async (session) => {
    const chunks: string[] = [];
    session.on('HeapProfiler.addHeapSnapshotChunk', ({ params }) => chunks.push(params.chunk));
    await session.post('HeapProfiler.takeHeapSnapshot');
    return chunks.join('');
  });
}

async function inSession(work: (session: Session) => Promise<string>): Promise<string> {
  const session = new Session();
  session.connect();
  try {
    return await work(session);
  } finally {
    session.disconnect();
  }
}
