/** Connections to Services that sleep are accepted in mode ipvs too, which holds no packets. */
import t from 'tap';
import { inVm } from '../../support/inVm.js';
import { LIMIT_MS } from '../../support/ipvsAgent.js';
import { testAccepting } from '../../support/testAccepting.js';

if (await inVm(import.meta.url)) {
  t.setTimeout(LIMIT_MS);
  await testAccepting(['ipvs'], { clients: 20, holds: false });
}
