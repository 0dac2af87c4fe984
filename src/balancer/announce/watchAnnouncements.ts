/** Pools, advertisements and routers on an API server, of both groups; a group that is not installed has none. */
import type { Outage } from '../../kubernetes/contact/Outage.js';
import type { ApiTransport } from '../../kubernetes/http/ApiTransport.js';
import { type WatchedResource, WatchGroup } from '../../kubernetes/watch/WatchGroup.js';
import type { Clock } from '../../time/Clock.js';
import { type RawChange, RawStore } from '../allocator/RawStore.js';
import type { AnnouncementObjects } from './AnnouncementObjects.js';

const KINDS: readonly (readonly [plural: string, kind: string])[] = [
  ['ipaddresspools', 'IPAddressPool'],
  ['l2advertisements', 'L2Advertisement'],
  ['bgpadvertisements', 'BGPAdvertisement'],
  ['bgppeers', 'BGPPeer'],
  ['bfdprofiles', 'BFDProfile'],
  ['communities', 'Community'],
];

const GROUPS = [
  { title: 'penstock.io', version: () => 'penstock.io/v1alpha1' },
  {
    title: 'MetalLB',
    version: (plural: string) => `metallb.io/${plural === 'bgppeers' ? 'v1beta2' : 'v1beta1'}`,
  },
] as const;

export interface WatchAnnouncementsOptions {
  readonly api: ApiTransport;
  readonly outage: Outage;
  readonly objects: AnnouncementObjects;
  readonly clock: Clock;
  readonly random: () => number;
  readonly onChange: () => void;
  /** Everything has been read once. */
  readonly onComplete: () => void;
}

export function watchAnnouncements(options: WatchAnnouncementsOptions): { stop(): Promise<void> } {
  const { api, outage, objects, clock, random, onChange, onComplete } = options;
  const watched = GROUPS.flatMap(({ title, version }) =>
    KINDS.map(([plural, kind]): WatchedResource<RawChange> => {
      const apiVersion = version(plural);
      return {
        resource: {
          title: `${kind}s of ${title}`,
          path: `/apis/${apiVersion}/${plural}`,
          query: {},
          optional: true,
        },
        store: new RawStore(),
        events: {
          changes: (batch) => {
            for (const { type, key, raw } of batch) {
              const id = `${apiVersion} ${kind} ${key}`;
              // Items of a list do not say what they are.
              if (type === 'upsert') objects.set(id, { ...(raw as object), apiVersion, kind });
              else objects.delete(id);
            }
            onChange();
          },
        },
      };
    }),
  );
  const watches = new WatchGroup(watched, { transport: api, outage, clock, random, onComplete });
  watches.start();
  return watches;
}
