/** The proxy engine as a list of calls; what it has to tell is set by the test. */
import type { NativeEngine, NativeEngineStatus } from '../../src/kernel/addon/NativeEngine.js';

/** Room for all service ports and 64 endpoints. */
export const CELL_BYTES = ((1 << 18) + 64) * 64;

export class FakeEngine implements NativeEngine {
  /** Also those of whoever shares it. */
  readonly calls: string[];
  readonly cells: ArrayBuffer;
  status: NativeEngineStatus = { active: 0, unknown: 0, descriptors: 0, inherited: 0, succeeded: 0 };
  events: readonly number[] = [];
  /** How many times offerTakeover() fails. */
  busyOffers = 0;
  /** What fails, always. */
  broken: 'update' | 'startListening' | undefined;

  constructor(calls: string[] = [], cells = new ArrayBuffer(CELL_BYTES)) {
    this.calls = calls;
    this.cells = cells;
  }

  port(protocol: number, family: 4 | 6, side: 0 | 1): number {
    return protocol * 100 + family * 10 + side;
  }

  setUntranslatedRanges(ranges: Uint8Array): void {
    this.calls.push(`setUntranslatedRanges ${ranges.length}`);
  }

  update(records: Uint8Array): void {
    this.#fail('update');
    this.calls.push(`update ${records.length > 0 ? 'with' : 'without'} records`);
  }

  startListening(): void {
    this.#fail('startListening');
    this.calls.push('startListening');
  }

  stopListening(): void {
    this.calls.push('stopListening');
  }

  offerTakeover(name: string): void {
    if (this.busyOffers-- > 0) throw Object.assign(new Error('in use'), { code: 'EADDRINUSE' });
    this.calls.push(`offerTakeover ${name}`);
  }

  resetEndpoint(cell: number): void {
    this.calls.push(`resetEndpoint ${cell}`);
  }

  takeEvents(): Uint32Array {
    const taken = Uint32Array.from(this.events);
    this.events = [];
    return taken;
  }

  find(): number {
    return -1;
  }

  picks(): Uint32Array {
    return new Uint32Array();
  }

  close(): void {
    this.calls.push('close');
  }

  #fail(step: typeof this.broken): void {
    if (this.broken === step) throw new Error(step);
  }
}
