/** Names of the kernel's error numbers, for programs and for people. */
import { constants } from 'node:os';
import { getSystemErrorMap } from 'node:util';

/** include/linux/errno.h: not for user space, and yet seen in netlink answers. */
const KERNEL_ONLY: readonly (readonly [number, string])[] = [
  [85, 'ERESTART'],
  [512, 'ERESTARTSYS'],
  [524, 'ENOTSUPP'],
];

// Of two names for one number the last in this list wins; the kernel's headers say EAGAIN and EOPNOTSUPP.
const NAMES = new Map<number, string>([
  ...KERNEL_ONLY,
  ...Object.entries(constants.errno).map(([name, number]): [number, string] => [number, name]),
  [constants.errno.EAGAIN, 'EAGAIN'],
  [constants.errno.EOPNOTSUPP, 'EOPNOTSUPP'],
]);

/** 'EEXIST' for -17, as Node writes error numbers. */
export function errnoName(errno: number): string {
  return NAMES.get(-errno) ?? `errno ${-errno}`;
}

/** 'file already exists' for -17; undefined for what has no words. */
export function errnoWords(errno: number): string | undefined {
  return getSystemErrorMap().get(errno)?.[1];
}
