// Runs the contents of a flash chip on an emulated RP2040, its UART0 on a TCP port of this machine.
//
//   node emulate.js FLASH.bin CYCLES
//
// Where CYCLES is not 0, the cache in front of the flash is modelled and each line that it lacks costs so many.
// Says which port, and waits with the first instruction until somebody connects. Time passes with the core's
// cycles and stands still while it sleeps, and a byte goes in only when it does: the same bytes give the same cycles.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { ConsoleLogger, LogLevel, RP2040 } from 'rp2040js';

const FLASH = 0x10000000;
const BOOT_STAGE_BYTES = 252;
const BOOT_STAGE = 0x20041f00; // where the boot ROM copies it, and the end of its stack
const INSTRUCTIONS_AT_ONCE = 200000; // before the port is looked after

/** The time of the core's cycles at the frequency that the firmware sets. */
class CoreClock {
  #core = null;
  #frequency = 0;
  #nanosBefore = 0;
  #cyclesBefore = 0;

  attach(chip) {
    this.#core = chip.core;
    this.#frequency = chip.clkSys;
    chip.addClockListener((frequency) => {
      this.#nanosBefore = this.nanos;
      this.#cyclesBefore = this.#core.cycles;
      this.#frequency = frequency;
    });
  }

  get nanos() {
    if (this.#core === null) return 0;
    return this.#nanosBefore + ((this.#core.cycles - this.#cyclesBefore) * 1e9) / this.#frequency;
  }

  // The firmware waits for no alarm. SysTick's would reload it a cycle early; without, it wraps as it should.
  createAlarm() {
    return { schedule() {}, cancel() {} };
  }
}

/** The cache of 16 KiB in front of the flash: sets of two lines of 8 bytes. Which one gives way is not documented. */
class FlashCache {
  static #SETS = 1024;
  #lines = new Int32Array(2 * FlashCache.#SETS).fill(-1); // of each set the one used last comes first

  /** Whether the line was there; it is from now on. */
  hit(address) {
    const line = (address & 0xffffff) >>> 3;
    const first = 2 * (line % FlashCache.#SETS);
    const lines = this.#lines;
    if (lines[first] === line) return true;
    const found = lines[first + 1] === line;
    lines[first + 1] = lines[first];
    lines[first] = line;
    return found;
  }
}

/** Lets every read of flash that the cache lacks take so many cycles more. */
function slowFlash(chip, cycles) {
  const cache = new FlashCache();
  for (const name of ['readUint8', 'readUint16', 'readUint32']) {
    const read = chip[name].bind(chip);
    chip[name] = (address) => {
      if (address >>> 24 === FLASH >>> 24 && !cache.hit(address)) chip.core.cycles += cycles;
      return read(address);
    };
  }
}

/** Flash and the state of the core as the boot ROM leaves them. */
function powerOn(flash, missCycles) {
  const clock = new CoreClock();
  const chip = new RP2040(clock);
  clock.attach(chip);
  chip.logger = new ConsoleLogger(LogLevel.Error, true);
  chip.flash.set(flash);
  for (let offset = 0; offset < BOOT_STAGE_BYTES; offset += 4) {
    chip.writeUint32(BOOT_STAGE + offset, chip.readUint32(FLASH + offset));
  }
  if (missCycles > 0) slowFlash(chip, missCycles);
  chip.core.SP = BOOT_STAGE;
  chip.core.PC = BOOT_STAGE;
  return chip;
}

/** A chip whose UART talks to whoever is connected. */
class Board {
  #chip;
  #connection = null;
  #toDevice = [];
  #toHost = [];
  #running = false;

  constructor(chip) {
    this.#chip = chip;
    chip.uart[0].onByte = (byte) => this.#toHost.push(byte);
  }

  connect(connection) {
    this.#connection?.destroy();
    this.#connection = connection;
    connection.setNoDelay(true);
    connection.on('data', (bytes) => {
      for (const byte of bytes) this.#toDevice.push(byte);
      this.#wake();
    });
    connection.on('error', () => connection.destroy());
    connection.on('close', () => {
      if (this.#connection === connection) this.#connection = null;
    });
    this.#wake();
  }

  #wake() {
    if (this.#running) return;
    this.#running = true;
    setImmediate(() => this.#run());
  }

  #run() {
    const { core, uart } = this.#chip;
    for (let left = INSTRUCTIONS_AT_ONCE; left > 0; --left) {
      if (core.waiting) {
        if (this.#toDevice.length === 0) break;
        uart[0].feedByte(this.#toDevice.shift());
      }
      core.executeInstruction();
    }
    this.#connection?.write(Uint8Array.from(this.#toHost));
    this.#toHost = [];
    this.#running = false;
    if (!core.waiting || this.#toDevice.length > 0) this.#wake();
  }
}

const [path, missCycles] = process.argv.slice(2);
const board = new Board(powerOn(readFileSync(path), Number(missCycles)));
const server = createServer((connection) => board.connect(connection));
server.listen(0, '127.0.0.1', () => console.error(`waiting for connection on: tcp:127.0.0.1:${server.address().port}`));
