/** The page in Chromium beside a running agent: with and without JavaScript, by keyboard, live, narrow and wide, light and dark. */
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import t from 'tap';
import { AgentProcess, PENSTOCK } from '../../support/AgentProcess.js';
import { type Browser, type BrowserPage, openBrowser } from '../../support/browser.js';
import { inNetns } from '../../support/inNetns.js';
import { eventually, plain } from '../../support/iptables.js';
import { ask, serveOnLoopback } from '../../support/loopbackEndpoints.js';
import { shopObjects } from '../../support/shopObjects.js';

const LIMIT_MS = 300_000;
const PAGE = 'http://127.0.0.1:10255';
const MANY = 10_000;
const PATHS = ['/', '/services', '/service?name=shop/cart', '/failures', '/syncs', '/conflicts'];
const EXPLAIN = '/explain?client=node&to=shop%2Fempty:http';
/** Width, dark, JavaScript. */
const LOOKS = [
  [360, true, true],
  [1280, false, false],
] as const;
/** A folder for pictures to look at. */
const PICTURES = process.env.PENSTOCK_PICTURES;

t.setTimeout(LIMIT_MS);

if (await inNetns(import.meta.url)) {
  const browser = await openBrowser();
  if (typeof browser === 'string') t.test('the page in a browser', { skip: browser }, () => {});
  else await test(browser);
}

async function test(browser: Browser): Promise<void> {
  const server = await serveOnLoopback(['10.1.0.1']);
  const agent = new AgentProcess('mode: nftables\npenstock: {web: "127.0.0.1:10255"}\n');
  agent.write('shop.json', objects());
  agent.write('many.json', many());
  agent.start();
  await agent.ready(120_000);
  t.teardown(async () => {
    await browser.close();
    await agent[Symbol.asyncDispose]();
    server.close();
  });
  await ask('172.30.0.11');

  const open = async (path: string, { width = 1280, javaScriptEnabled = true, dark = false } = {}) => {
    const page = await browser.newPage({
      viewport: { width, height: 800 },
      colorScheme: dark ? 'dark' : 'light',
      javaScriptEnabled,
    });
    const errors: string[] = [];
    page.on('pageerror', (error) => errors.push(String(error)));
    page.on('console', (message) => {
      const text = message.text?.() ?? '';
      if (/Content Security Policy|Refused/.test(text)) errors.push(text);
    });
    await page.goto(`${PAGE}${path}`);
    return { page, errors };
  };

  t.test('every page, narrow and wide, light and dark, with and without JavaScript', async (t) => {
    t.setTimeout(LIMIT_MS);
    for (const path of [...PATHS, EXPLAIN])
      for (const [width, dark, javaScriptEnabled] of LOOKS) {
        const { page, errors } = await open(path, { width, dark, javaScriptEnabled });
        const name = `page ${path} ${width} ${dark ? 'dark' : 'light'}`;
        t.same(errors, [], name);
        t.match(await page.textContent('h1'), /./, name);
        if (javaScriptEnabled) t.ok(await fits(page), `${name}: nothing is wider than the window`);
        await picture(page, name);
        await page.close();
      }
  });

  t.test('what is wrong is on the first page, by name, without JavaScript', async (t) => {
    t.setTimeout(LIMIT_MS);
    const { page } = await open('/', { javaScriptEnabled: false });
    t.match(await page.textContent('.verdict'), /One service port has no endpoints/);
    t.match(await page.textContent('#live'), /no-endpoints.*shop\/empty:http/s);
    await page.click('.verdict a');
    t.match(await page.textContent('#live'), /shop\/empty/);
    t.notMatch(await page.textContent('#live'), /shop\/cart/);
    await page.close();
  });

  t.test('10,000 Services: paged and searched', async (t) => {
    t.setTimeout(LIMIT_MS);
    const { page } = await open('/services', { javaScriptEnabled: false });
    await page.click('a[rel=next]');
    t.match(page.url(), /after=/);
    await page.fill('input[name=q]', 'service-9999');
    await page.click('button');
    t.match(await page.textContent('tbody'), /many\/service-9999/);
    const began = performance.now();
    await page.goto(`${PAGE}/services?q=service-1`);
    t.comment(`a search takes ${Math.round(performance.now() - began)} ms`);
    await page.close();
  });

  t.test('by keyboard: skip link, navigation, form', async (t) => {
    t.setTimeout(LIMIT_MS);
    const { page } = await open('/');
    await page.keyboard.press('Tab');
    t.equal(await page.evaluate('document.activeElement.textContent'), 'Skip to content');
    for (let i = 0; i < 3; i++) await page.keyboard.press('Tab');
    t.equal(await page.evaluate('document.activeElement.textContent'), 'Services');
    t.not(await page.evaluate('getComputedStyle(document.activeElement).outlineStyle'), 'none');
    await page.keyboard.press('Enter');
    await page.waitForURL(/\/services/);
    await page.goto(`${PAGE}/explain`);
    await page.evaluate('document.querySelector("input[name=client]").focus()');
    await page.keyboard.type('node');
    await page.keyboard.press('Tab');
    await page.keyboard.type('shop/empty:http');
    await page.keyboard.press('Enter');
    await page.waitForURL(/client=node/);
    t.match(await page.textContent('#live'), /is refused no-endpoints/);
    await page.close();
  });

  t.test('live: a failure appears while the page is looked at', async (t) => {
    t.setTimeout(LIMIT_MS);
    const { page } = await open('/failures?q=unknown-port');
    t.notMatch(await page.textContent('#live'), /172\.30\.0\.10:81/);
    const began = performance.now();
    await ask('172.30.0.10', 81);
    const shows = async () => (await page.textContent('#live'))?.includes('172.30.0.10:81') === true;
    t.ok(await eventually(shows, 60_000));
    t.comment(`shown ${Math.round(performance.now() - began)} ms after the connection`);
    t.match(await page.textContent('.live'), 'live');
    await page.close();
  });

  t.test('penstock web shows the same, and says when the agent is gone', async (t) => {
    t.setTimeout(LIMIT_MS);
    for (const listen of ['0.0.0.0:10255', '192.168.77.1:80', 'localhost', '[::]:1', '10255']) {
      const { status, stderr } = spawnSync(...plain(PENSTOCK, 'web', '--listen', listen), {
        encoding: 'utf8',
      });
      t.equal(status, 2, listen);
      t.match(stderr, /must be a loopback address and a port/);
    }
    const web = spawn(...plain(PENSTOCK, 'web', '--listen', '127.0.0.1:0'));
    let said = '';
    web.stdout.setEncoding('utf8').on('data', (chunk) => {
      said += chunk;
    });
    t.ok(await eventually(() => /http:\S+/.test(said), 60_000));
    const url = /http:\S+/.exec(said)?.[0] ?? '';
    const { page } = await open('/');
    await page.goto(`${url}service?name=shop/cart`);
    t.match(await page.textContent('#live'), /10\.1\.0\.1:8080/);
    await agent.end('SIGKILL');
    await page.goto(url);
    t.match(await page.textContent('#live'), /no agent answers on this node/);
    const ended = new Promise((resolve) => web.once('close', resolve));
    web.kill('SIGTERM');
    t.equal(await ended, 0);
    await page.close();
  });
}

async function fits(page: BrowserPage): Promise<boolean> {
  return (await page.evaluate('document.documentElement.scrollWidth <= innerWidth')) === true;
}

async function picture(page: BrowserPage, name: string): Promise<void> {
  if (PICTURES === undefined) return;
  mkdirSync(PICTURES, { recursive: true });
  await page.screenshot({ path: `${PICTURES}/${name.replaceAll(/[^a-z0-9]+/gi, '-')}.png`, fullPage: false });
}

function objects(): object[] {
  const cart = shopObjects({
    name: 'cart',
    clusterIP: '172.30.0.10',
    endpoints: ['10.1.0.1', '10.1.0.2'],
    spec: { externalIPs: ['203.0.113.9'] },
  });
  const empty = shopObjects({ name: 'empty', clusterIP: '172.30.0.11', endpoints: [] });
  const late = shopObjects({
    name: 'late-comer-with-a-long-name',
    clusterIP: '172.30.0.12',
    endpoints: ['10.1.0.1'],
    spec: { externalIPs: ['203.0.113.9'] },
  });
  return [...cart, ...empty, ...late];
}

function many(): object[] {
  return Array.from({ length: MANY }, (_, i) =>
    shopObjects({
      name: `service-${i}`,
      clusterIP: `172.31.${i >> 8}.${i & 255}`,
      endpoints: ['10.1.0.1'],
    }).map((object) => {
      const { metadata } = object as { metadata: object };
      return { ...object, metadata: { ...metadata, namespace: 'many' } };
    }),
  ).flat();
}
