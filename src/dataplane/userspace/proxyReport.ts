/** What the proxy has done so far, for metrics: read from shared memory, nothing is stopped for it. */
import type { NativeEngineStatus } from '../../kernel/addon/NativeEngine.js';
import type { ProxyReport } from '../Dataplane.js';
import type { Cells } from './Cells.js';
import type { EngineRow } from './EngineTable.js';

export function proxyReport(
  { active, unknown, descriptors }: NativeEngineStatus,
  rows: Iterable<EngineRow>,
  cells: Cells,
): ProxyReport {
  return {
    active,
    unknown,
    descriptors,
    servicePorts: Array.from(rows, ({ port, cell, endpoints }) => ({
      servicePort: port,
      ...cells.service(cell),
      endpoints: Array.from(endpoints, ([target, own]) => ({ target, ...cells.endpoint(own) })),
    })),
  };
}
