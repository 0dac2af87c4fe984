/** What an algorithm looks at when a connection arrives, and what it answers. */
import type { IpAddress } from '../../net/ip.js';
import type { Sfc32 } from './Sfc32.js';

/** Lists are in the order of the endpoints. */
export interface Moment {
  /** Who may be picked: has not failed this client before, and is not ejected. */
  readonly eligible: readonly boolean[];
  /** Connections that each endpoint has. */
  readonly loads: readonly number[];
  readonly client: IpAddress;
  /** How many connections to the service port came before this one. */
  readonly turn: number;
  readonly random: Sfc32;
}

/** The index of an endpoint; undefined when nobody may be picked who has a weight. */
export type Pick = (moment: Moment) => number | undefined;
