/** Chromium for tests of the page: Debian's package, driven by playwright-core. */
import { existsSync } from 'node:fs';

/** What the tests use of playwright-core: its own types are large, and not everybody who compiles has it. */
export interface Browser {
  newPage(options: {
    readonly viewport: { readonly width: number; readonly height: number };
    readonly colorScheme: 'light' | 'dark';
    readonly javaScriptEnabled: boolean;
  }): Promise<BrowserPage>;
  close(): Promise<void>;
}

export interface BrowserPage {
  goto(url: string): Promise<unknown>;
  url(): string;
  /** With what a program in the page says: `document.title`. */
  evaluate(program: string): Promise<unknown>;
  textContent(selector: string): Promise<string | null>;
  fill(selector: string, text: string): Promise<void>;
  click(selector: string): Promise<void>;
  readonly keyboard: { press(key: string): Promise<void>; type(text: string): Promise<void> };
  waitForURL(pattern: RegExp): Promise<void>;
  screenshot(options: { readonly path: string; readonly fullPage: boolean }): Promise<unknown>;
  on(event: 'console' | 'pageerror', listener: (message: { text?(): string }) => void): void;
  close(): Promise<void>;
}

const PROGRAMS = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

/** Resolves to why there is none. */
export async function openBrowser(): Promise<Browser | string> {
  const executablePath = PROGRAMS.find(existsSync);
  if (executablePath === undefined) return 'there is no Chromium; scripts/setup installs it';
  const name: string = 'playwright-core';
  let playwright: { readonly chromium: { launch(options: object): Promise<Browser> } };
  try {
    playwright = await import(name);
  } catch {
    return 'there is no playwright-core; npm ci installs it';
  }
  return playwright.chromium.launch({
    executablePath,
    timeout: 120_000,
    // Root has no sandbox of Chromium's; the namespaces of the test are one.
    args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'],
  });
}
