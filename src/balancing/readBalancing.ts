/** The annotations `penstock.io/algorithm` and `penstock.io/weights` of a Service (docs/balancing.md). */
import type { IpAddress } from '../net/ip.js';
import { parseObjectIp } from '../objects/addresses.js';
import { FaultList, quote } from '../objects/read/FaultList.js';
import { isRawObject } from '../objects/read/FieldReader.js';
import { ALGORITHMS, type Algorithm, type Balancing, UNWEIGHTED, type Weights } from './Balancing.js';
import { isIpvsScheduler, nearestAlgorithm } from './ipvsSchedulers.js';

export interface BalancingReading {
  readonly balancing: Balancing;
  /** One sentence for each bad value: what it is, what it must be, what holds meanwhile. */
  readonly faults: readonly string[];
}

const HEAVIEST = 100;
const ALGORITHM = 'metadata.annotations[penstock.io/algorithm]';
const WEIGHTS = 'metadata.annotations[penstock.io/weights]';

const NO_FAULTS: readonly string[] = [];
const UNASKED: Readonly<Record<Algorithm, BalancingReading>> = Object.fromEntries(
  ALGORITHMS.map((algorithm) => [algorithm, { balancing: UNWEIGHTED[algorithm], faults: NO_FAULTS }]),
) as Record<Algorithm, BalancingReading>;

/**
 * `options` are the annotations without their prefix, as in Service.options; `usual`: the algorithm of Services that name none.
 * Never throws. A bad algorithm means `usual`. One bad weight means no weights at all: what is left of a list of ratios may be the opposite of what was
 * meant. An empty text counts as absent.
 */
export function readBalancing(
  options: Readonly<Record<string, string>>,
  usual: Algorithm = 'random',
): BalancingReading {
  const { algorithm: algorithmText = '', weights: weightsText = '' } = options;
  if (algorithmText === '' && weightsText === '') return UNASKED[usual];
  const faults = new FaultList();
  const algorithm = readAlgorithm(algorithmText, usual, faults);
  const weights = weightsText === '' ? undefined : readWeights(weightsText, faults);
  return {
    balancing: weights === undefined ? UNWEIGHTED[algorithm] : { algorithm, weights },
    faults: faults.isEmpty ? NO_FAULTS : faults.sentences(),
  };
}

function readAlgorithm(text: string, usual: Algorithm, faults: FaultList): Algorithm {
  const algorithm = text === '' ? usual : ALGORITHMS.find((known) => known === text);
  if (algorithm !== undefined) return algorithm;
  if (isIpvsScheduler(text)) return nearestAlgorithm(text);
  const allowed = ALGORITHMS.join(', ');
  faults.add(`${ALGORITHM} is ${quote(text)}, must be one of ${allowed}; until then it is ${usual}`);
  return usual;
}

/** undefined when there are none, or none that can be used. */
function readWeights(text: string, faults: FaultList): Weights | undefined {
  const raw = parseJson(text);
  const bad = new FaultList();
  const weights = new Map<IpAddress, number>();
  if (!isRawObject(raw))
    bad.add(`${WEIGHTS} is ${quote(text)}, must be a JSON object such as {"10.0.0.7": 3}`);
  else {
    for (const [key, value] of Object.entries(raw)) {
      const ip = parseObjectIp(key);
      if (ip === undefined) bad.add(`${WEIGHTS} names ${quote(key)}, must name IP addresses of endpoints`);
      else if (weights.has(ip)) bad.add(`${WEIGHTS} names ${ip} twice, must name it once`);
      else if (!isWeight(value))
        bad.add(`${WEIGHTS} is ${quote(value)} for ${ip}, must be a whole number, 0 to ${HEAVIEST}`);
      else weights.set(ip, value);
    }
  }
  for (const sentence of bad.sentences()) faults.add(`${sentence}; until then every endpoint has weight 1`);
  return bad.isEmpty && weights.size > 0 ? weights : undefined;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isWeight(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= HEAVIEST;
}
