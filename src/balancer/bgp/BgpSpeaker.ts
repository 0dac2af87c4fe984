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
  /** When this agent ends: `keep` for the next one, `withdraw` after the router was asked to prefer other ways. */
  readonly onEnd: 'withdraw' | 'keep';
}

export class BgpSpeaker {
  readonly #sessions = new Map<
    string,
    Pick<SpeakerEntry, 'key' | 'onEnd'> & { readonly session: BgpSession }
  >();

  /** Whole list, by name of the router. A router whose settings have changed gets another session. */
  set(wanted: ReadonlyMap<string, SpeakerEntry>): void {
    for (const [name, { key, session }] of this.#sessions) {
      if (wanted.get(name)?.key === key) continue;
      session.stop('withdraw');
      this.#sessions.delete(name);
    }
    for (const [name, { key, open, routes, onEnd }] of wanted) {
      const known = this.#sessions.get(name)?.session;
      const session = known ?? open();
      session.setRoutes(routes);
      if (known) continue;
      this.#sessions.set(name, { key, onEnd, session });
      session.start();
    }
  }

  get sessions(): ReadonlyMap<string, BgpSession> {
    return new Map([...this.#sessions].map(([name, { session }]) => [name, session]));
  }

  /** What is withdrawn waits for the routers to choose other ways. */
  async close(sleep: (milliseconds: number) => Promise<void>): Promise<void> {
    const sessions = [...this.#sessions.values()];
    const leaving = sessions.filter(({ session, onEnd }) => onEnd === 'withdraw' && session.announced > 0);
    for (const { session } of leaving) session.drain();
    if (leaving.length > 0) await sleep(DRAIN_MS);
    for (const { session, onEnd } of sessions) session.stop(onEnd);
    this.#sessions.clear();
  }
}
