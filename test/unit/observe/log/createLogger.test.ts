import t from 'tap';
import { PenstockError } from '../../../../src/errors.js';
import { createLogger, type LogOptions } from '../../../../src/observe/log/createLogger.js';

function logger(format: LogOptions['format'], isTTY = false, env: NodeJS.ProcessEnv = {}) {
  const lines: string[] = [];
  const output = { isTTY, write: (line: string) => lines.push(line) } as never;
  return { log: createLogger({ format, verbosity: 0 }, output, env), lines };
}

/** ESC, C1's CSI, a direction override, a line separator, and a line that looks like another record. */
const NASTY = 'web\u001b[2J\u009b31m\u202e\u2028\n2026-01-01T00:00:00.000Z INFO  all is well';

t.test('text: time, level, message, remedy, short fields', async (t) => {
  const { log, lines } = logger('text');
  log.info('hello');
  log.warn({ where: 'a.yaml:3', families: [{ family: 'IPv4' }], ports: [80, 443] }, 'mind this');
  const error = new PenstockError('PENSTOCK_NO_SOURCE', 'no source', { remedy: 'Give one.' });
  log.error({ err: error }, 'broken');
  t.match(lines, [
    /^\S+Z INFO {2}hello\n$/,
    /^\S+Z WARN {2}mind this {2}where=a\.yaml:3 {2}ports=80,443\n$/,
    /^\S+Z ERROR broken {2}→ Give one\. {2}code=PENSTOCK_NO_SOURCE\n$/,
  ]);
});

for (const format of ['text', 'json'] as const) {
  t.test(`${format}: whatever comes from outside is one line without control characters`, async (t) => {
    const { log, lines } = logger(format);
    log.info(NASTY);
    log.warn({ where: NASTY, [NASTY]: 1 }, 'a field');
    const remedy = NASTY;
    log.error({ err: new PenstockError('PENSTOCK_NO_SOURCE', NASTY, { remedy }) }, `why: ${NASTY}`);
    t.equal(lines.length, 3);
    for (const line of lines) t.match(line, /^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+\n$/u);
  });
}

t.test('json: what is read is what was logged', async (t) => {
  const { log, lines } = logger('json');
  log.info({ where: NASTY }, NASTY);
  t.match(JSON.parse(lines[0] ?? ''), { level: 'info', msg: NASTY, where: NASTY });
});

t.test('colours on a terminal only, and not with NO_COLOR', async (t) => {
  const on = logger('text', true);
  on.log.warn('careful');
  t.match(on.lines[0], `\u001b[33mWARN `);
  for (const { log, lines } of [
    logger('text'),
    logger('text', true, { NO_COLOR: '1' }),
    logger('json', true),
  ]) {
    log.warn('careful');
    t.notMatch(lines[0], '\u001b');
  }
});
