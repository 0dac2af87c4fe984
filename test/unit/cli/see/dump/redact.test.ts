import t from 'tap';
import { redact } from '../../../../../src/cli/see/dump/redact.js';

/** Each with a secret that says so. */
const WITH_SECRETS: readonly string[] = [
  'token: s3cr3t-value',
  '{"token": "s3cr3t-value"}',
  '{"client-key-data": "s3cr3t-value", "server": "https://10.0.0.1"}',
  'client-certificate-data: s3cr3t-value',
  'certificate-authority-data: s3cr3t-value',
  'password: "s3cr3t-value"',
  "bgpPassword: 's3cr3t-value'",
  'passwordSecret: s3cr3t-value',
  'penstock run --token=s3cr3t-value --config x',
  'penstock run --token s3cr3t-value --config x',
  'Authorization: Bearer s3cr3t-value',
  '"authorization": "Basic s3cr3t-value"',
  'https://admin:s3cr3t-value@10.0.0.1/path',
  'aws_secret_access_key = s3cr3t-value',
  'apiKey: s3cr3t-value',
  '-----BEGIN RSA PRIVATE KEY-----\ns3cr3t-value\n-----END RSA PRIVATE KEY-----',
  '-----BEGIN EC PRIVATE KEY-----\ns3cr3t-value, cut off',
  'x eyJhbGciOiJSUzI1NiJ9.s3cr3t-value.c2ln y',
  `eyJ4NWMi${'a'.repeat(5000)}.s3cr3t-value.c2ln`,
];

/** What a reader needs, and stays. */
const HARMLESS: readonly string[] = [
  '-A KUBE-SERVICES -d 10.96.0.10/32 -p tcp -m comment --comment "shop/cart:http cluster IP" -j KUBE-SVC-A',
  'elements = { 10.96.0.10 . tcp . 80 : goto external-4 }',
  '{"service": "shop/cart", "endpoints": ["10.1.0.1:8080"]}',
  'mode: nftables\nclusterCIDR: 10.1.0.0/16',
  'server: https://10.0.0.1:6443',
];

t.test('secrets go', async (t) => {
  for (const text of WITH_SECRETS) t.notMatch(redact(text), 's3cr3t', `${text} → ${redact(text)}`);
});

t.test('all else stays', async (t) => {
  for (const text of HARMLESS) t.equal(redact(text), text);
});

t.test('a text that was written to keep us busy takes no longer than another', async (t) => {
  for (const part of [
    'a',
    'a.',
    'token',
    'token ',
    'eyJ-',
    'eyJaaaaaaaa.',
    'Bearer ',
    'a://',
    '-----BEGIN ',
    ' ',
    '"',
    '\\"',
  ]) {
    const text = part.repeat(100_000 / part.length);
    const began = performance.now();
    redact(`${text}!`);
    t.ok(performance.now() - began < 1000, `${part}: ${Math.round(performance.now() - began)} ms`);
  }
});
