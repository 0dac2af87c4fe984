/** A node among Services, as explain sees it. */
import type { World } from '../../src/explain/World.js';
import type { EndpointSlice } from '../../src/objects/EndpointSlice.js';
import type { Service } from '../../src/objects/Service.js';

export function nodeWorld(
  services: readonly Service[],
  slices: readonly EndpointSlice[] = [],
  rest: Partial<World> = {},
): World {
  return {
    services,
    slices,
    nodeName: 'node1',
    zone: '',
    nodeAddresses: { IPv4: '192.168.0.2' },
    podCIDRs: {},
    hostAddresses: ['192.168.0.2'],
    ...rest,
  };
}
