/** The sessions of this node: one for each router. */

import type { Route } from './AdjRibOut.js';
import type { BgpSession } from './BgpSession.js';

/** Milliseconds that routers have to choose other ways (RFC 8326), and then to drop ours. */
const DRAIN_MS = 2000;

export interface SpeakerEntry {
  /** Equal for sessions that are the same; another text is another session. */
  readonly key: string;
  readonly open: () => BgpSession;
  readonly routes: readonly Route[];
}

export class BgpSpeaker {
  readonly #sessions = new Map<string, { readonly key: string; readonly session: BgpSession }>();

  /** Whole list, by name of the router. A router whose settings have changed gets another session. */
  set(wanted: ReadonlyMap<string, SpeakerEntry>): void {
    for (const [name, { key, session }] of this.#sessions) {
      if (wanted.get(name)?.key === key) continue;
      session.stop('withdraw');
      this.#sessions.delete(name);
    }
    for (const [name, { key, open, routes }] of wanted) {
      const known = this.#sessions.get(name)?.session;
      const session = known ?? open();
      session.setRoutes(routes);
      if (known) continue;
      this.#sessions.set(name, { key, session });
      session.start();
    }
  }

  get sessions(): ReadonlyMap<string, BgpSession> {
    return new Map([...this.#sessions].map(([name, { session }]) => [name, session]));
  }

  /** `withdraw`: first the routers are asked to prefer other ways. */
  async close(how: 'withdraw' | 'keep', sleep: (milliseconds: number) => Promise<void>): Promise<void> {
    const sessions = [...this.#sessions.values()].map(({ session }) => session);
    if (how === 'withdraw' && sessions.some(({ announced }) => announced > 0)) {
      for (const session of sessions) session.drain();
      await sleep(DRAIN_MS);
    }
    for (const session of sessions) session.stop(how);
    this.#sessions.clear();
  }
}
