/** The annotations `penstock.io/health-check…` of a Service (docs/without-kubernetes.md). */
import { FaultList, quote } from '../../objects/read/FaultList.js';
import { formatDuration, parseDuration } from '../../time/duration.js';

/** Times in milliseconds. */
export interface CheckSettings {
  readonly interval: number;
  /** How long a connect may take. */
  readonly timeout: number;
  /** So many connects in a row make an endpoint ready. */
  readonly rise: number;
  /** So many failures in a row make it not ready. */
  readonly fall: number;
}

export interface HealthCheckReading {
  /** Undefined: none is asked for, or it is not known. */
  readonly check: CheckSettings | undefined;
  /** One sentence for each bad value: what it is, what it must be, what holds meanwhile. */
  readonly faults: readonly string[];
}

const DEFAULT: CheckSettings = { interval: 2000, timeout: 1000, rise: 2, fall: 3 };
const NONE: HealthCheckReading = { check: undefined, faults: [] };
const PREFIX = 'health-check';
const SHORTEST_MS = 200;
const LONGEST_MS = 3_600_000;
const MOST_IN_A_ROW = 100;

/** `options` are the annotations without their prefix, as in Service.options. Never throws. An empty text counts as absent. */
export function readHealthCheck(options: Readonly<Record<string, string>>): HealthCheckReading {
  const given = Object.keys(options).filter((key) => key.startsWith(PREFIX) && options[key] !== '');
  if (given.length === 0) return NONE;
  const faults = new FaultList();
  const kind = options[PREFIX] ?? '';
  if (kind !== 'tcp') {
    const what = kind === '' ? 'is missing' : `is ${quote(kind)}`;
    faults.add(`${field(PREFIX)} ${what}, must be tcp; until then nothing is checked`);
    return { check: undefined, faults: faults.sentences() };
  }
  return readSettings(options, DEFAULT);
}

/** Of checks that are made anyhow: what the annotations say beside the kind of check. Never throws. */
export function readSettings(
  options: Readonly<Record<string, string>>,
  otherwise: CheckSettings,
): HealthCheckReading & { readonly check: CheckSettings } {
  const faults = new FaultList();
  const settings: Record<keyof CheckSettings, number> = { ...otherwise };
  for (const key of Object.keys(options)) {
    if (!key.startsWith(PREFIX) || key === PREFIX || options[key] === '') continue;
    const name = key.slice(PREFIX.length + 1);
    if (!isSetting(name))
      faults.add(`${field(key)} is not known; there are interval, timeout, rise and fall`);
    else
      settings[name] = read(name, options[key] ?? '', otherwise[name], (wrong) =>
        faults.add(`${field(key)} ${wrong}`),
      );
  }
  return { check: settings, faults: faults.isEmpty ? [] : faults.sentences() };
}

function field(name: string): string {
  return `metadata.annotations[penstock.io/${name}]`;
}

function isSetting(name: string): name is keyof CheckSettings {
  return Object.hasOwn(DEFAULT, name);
}

function read(
  name: keyof CheckSettings,
  text: string,
  otherwise: number,
  fault: (what: string) => void,
): number {
  const isTime = name === 'interval' || name === 'timeout';
  const value = isTime ? parseDuration(text) : /^\d{1,3}$/.test(text) ? Number(text) : undefined;
  const [least, most] = isTime ? [SHORTEST_MS, LONGEST_MS] : [1, MOST_IN_A_ROW];
  if (value !== undefined && value >= least && value <= most) return value;
  const show = (number: number) => (isTime ? formatDuration(number) : String(number));
  fault(`is ${quote(text)}, must be ${show(least)} to ${show(most)}; until then it is ${show(otherwise)}`);
  return otherwise;
}
