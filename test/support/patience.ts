/**
 * How much longer than usual things may take: 1, or what PENSTOCK_PATIENCE says. A machine of scripts/vm whose processor
 * is emulated sets it.
 */
export const PATIENCE = Number(process.env.PENSTOCK_PATIENCE ?? 1);
