// Nothing waits or reads the time but through the clock of src/time/Clock.ts: otherwise no test can let hours pass, and a timer can
// be left over that no simulation sees. Where real time is meant is named below, with the reason.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT, readSources, report } from './lib/lint/sources.mjs';

/** Calls of Node's own timers and clocks; methods that are called alike (socket.setTimeout) are something else. */
const TIME =
  /(?<![.\w])(?:setTimeout|setInterval)\s*\(|globalThis\.set(?:Timeout|Interval)|\bDate\.now\b|\bperformance\.now\b|\bhrtime\b|\bnew Date\(\s*\)|['"](?:node:)?timers(?:\/promises)?['"]|['"](?:node:)?perf_hooks['"]|AbortSignal\.timeout/;

/** An exception that covers nothing fails. */
const REAL = [
  'src/time/', // the clock itself
  'src/cli/', // a command is a process of its own, which somebody waits for
  'src/main.ts: ', // what still holds a command that has ended
  'src/kernel/xtables/runCommand.ts: ', // a program of the system, which knows no other time
  'src/host/ServiceManager.ts: ', // CLOCK_MONOTONIC itself, which systemd compares
  'src/yaml/boundedYaml.ts: ', // how long the processor was busy
  'src/observe/metrics/WorkTurns.ts: ', // how long the processor was busy
  'src/observe/http/profilePages.ts: ', // V8 profiles in real time
  'src/observe/log/createLogger.ts: ', // lines of the process, beside those of others
  'src/observe/page/style.ts: ', // text for a browser
];

const faults = readSources('src').flatMap(({ path }) =>
  readFileSync(join(ROOT, path), 'utf8')
    .split('\n')
    .flatMap((text, i) => {
      const code = text.replace(/^\s*(?:\/?\*|\/\/).*/, '');
      const found = TIME.exec(code)?.[0];
      return found === undefined
        ? []
        : [`${path}: line ${i + 1}: ${found.trim()} passes by the injected clock: take a Clock`];
    }),
);
report(faults, REAL);
