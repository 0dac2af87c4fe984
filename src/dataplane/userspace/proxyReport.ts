/** What the proxy has done so far, for metrics: read from shared memory, nothing is stopped for it. */

import type { Cells } from '../../kernel/addon/Cells.js';
import type { NativeEngineStatus } from '../../kernel/addon/NativeEngine.js';
import type { ProxiedEndpoint, ProxiedServicePort, ProxyReport } from '../Dataplane.js';
import type { EngineRow, EngineTable } from './EngineTable.js';

export function proxyReport(
  { active, unknown, descriptors }: NativeEngineStatus,
  table: Pick<EngineTable, 'rows'>,
  cells: Cells,
): ProxyReport {
  return {
    active,
    unknown,
    descriptors,
    servicePorts: { [Symbol.iterator]: () => servicePorts(table.rows, cells) },
  };
}

function* servicePorts(rows: Iterable<EngineRow>, cells: Cells): Generator<ProxiedServicePort> {
  for (const { port, cell, endpoints } of rows)
    yield {
      servicePort: port,
      ...cells.service(cell),
      endpoints: { [Symbol.iterator]: () => figures(endpoints, cells) },
    };
}

/** Read when somebody asks for them: there may be a hundred thousand. */
function* figures(endpoints: EngineRow['endpoints'], cells: Cells): Generator<ProxiedEndpoint> {
  for (const [target, own] of endpoints) yield { target, ...cells.endpoint(own) };
}
