'use strict';
// V8's young generation grows to 16 MB and more, which an agent on every node must not have. The flag for that, --max-semi-space-size,
// works from the start of a process alone; with any flag of V8 Node.js does not take what it compiled its own modules to when it was
// built, which costs a start a sixth of its time. So the growth is ended from within, by a flag that has its default while Node.js loads.
const { getHeapSpaceStatistics, setFlagsFromString } = require('node:v8');

/** Bytes of each half: as --max-semi-space-size=2. It doubles from 1 MB. */
const ENOUGH = 2 << 20;
const STAY = '--semi-space-growth-factor=1';
const GROW = '--semi-space-growth-factor=2';

/**
 * `look()` ends the growth once it is large enough, between two parts of the program. `natively(load)` is `load`, of modules of Node.js,
 * with all flags as Node.js has them.
 */
exports.limitYoung = () => {
  let isLarge = false;
  return {
    look() {
      if (isLarge) return;
      isLarge = getHeapSpaceStatistics().some((space) => space.space_name === 'new_space' && space.space_size >= ENOUGH);
      if (isLarge) setFlagsFromString(STAY);
    },
    natively: (load) => (name) => {
      if (!isLarge) return load(name);
      setFlagsFromString(GROW);
      try {
        return load(name);
      } finally {
        setFlagsFromString(STAY);
      }
    },
  };
};
