/** Where penstock keeps what must outlive a process, but not the machine. */
export const STATE_FOLDER = '/run/penstock';
