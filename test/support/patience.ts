/**
 * How much longer than usual things may take: 1, or what PENSTOCK_PATIENCE says. A machine of scripts/vm whose processor
 * is emulated sets it.
 */
export const PATIENCE = Number(process.env.PENSTOCK_PATIENCE ?? 1);

/**
 * How often an agent is killed and started under connects: PENSTOCK_RESTARTS. A gap of a restart, where there was one, showed in
 * each of them; the traffic in between is steady.
 */
export const RESTARTS = Number(process.env.PENSTOCK_RESTARTS ?? 8);
