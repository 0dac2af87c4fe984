/** Kernel parameters of a simulated host. */
import { Sysctls } from '../../src/kernel/sysctl/Sysctls.js';

/** Every one is as wanted. */
export class NoSysctls extends Sysctls {
  override read(): string | undefined {
    return '1';
  }

  override ensure(): 'unchanged' {
    return 'unchanged';
  }

  override restore() {
    return { restored: [], failed: [] };
  }
}
