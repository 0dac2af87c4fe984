/** The log of the agent: pino, as JSON or as lines for people. Nothing from outside reaches a terminal unescaped. */
import { type DestinationStream, type Logger, pino } from 'pino';
import { printableJson } from '../../net/printable.js';
import { textLine } from './textLine.js';

export interface LogOptions {
  readonly format: 'text' | 'json';
  /** kube-proxy's -v: 0 is normal, from 4 on debug. */
  readonly verbosity: number;
}

const DEBUG_VERBOSITY = 4;

/** The name of the level for a verbosity. */
export function logLevel(verbosity: number): 'debug' | 'info' {
  return verbosity >= DEBUG_VERBOSITY ? 'debug' : 'info';
}

/** Lines have colours on a terminal, unless NO_COLOR is set (no-color.org). */
export function createLogger(
  { format, verbosity }: LogOptions,
  output: NodeJS.WritableStream,
  env: NodeJS.ProcessEnv = process.env,
): Logger {
  const options = {
    base: null,
    level: logLevel(verbosity),
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    formatters: { level: (level: string) => ({ level }) },
  };
  const isTerminal = 'isTTY' in output && output.isTTY === true;
  const colours = isTerminal && !env.NO_COLOR ? 'colours' : 'plain';
  const destination: DestinationStream =
    format === 'json'
      ? { write: (line) => output.write(printableJson(line)) }
      : { write: (line) => output.write(textLine(JSON.parse(line), colours)) };
  return pino(options, destination);
}
