/** The log of the agent: pino, as JSON or as lines for people. */
import { type DestinationStream, type Logger, pino } from 'pino';

export interface LogOptions {
  /** `text`: `2026-11-22T10:00:00.000Z INFO  message  key=value`. */
  readonly format: 'text' | 'json';
  /** kube-proxy's -v: 0 is normal, from 4 on debug. */
  readonly verbosity: number;
}

const DEBUG_VERBOSITY = 4;

/** The name of the level for a verbosity. */
export function logLevel(verbosity: number): 'debug' | 'info' {
  return verbosity >= DEBUG_VERBOSITY ? 'debug' : 'info';
}

export function createLogger({ format, verbosity }: LogOptions, output: NodeJS.WritableStream): Logger {
  const options = {
    base: null,
    level: logLevel(verbosity),
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    formatters: { level: (level: string) => ({ level }) },
  };
  const destination: DestinationStream =
    format === 'json'
      ? { write: (line) => output.write(line) }
      : { write: (line) => output.write(toText(line)) };
  return pino(options, destination);
}

function toText(line: string): string {
  const { time, level, msg, err, ...fields } = JSON.parse(line) as Record<string, unknown>;
  const error = err as { code?: string; remedy?: string } | undefined;
  const parts = Object.entries({ ...fields, ...(error?.code ? { code: error.code } : {}) }).map(
    ([key, value]) => `${key}=${typeof value === 'object' ? JSON.stringify(value) : String(value)}`,
  );
  const remedy = error?.remedy ? `  → ${error.remedy}` : '';
  return `${[`${time} ${String(level).toUpperCase().padEnd(5)} ${msg}${remedy}`, ...parts].join('  ')}\n`;
}
