/**
 * The few calls of the C library that Node does not offer, through node:ffi.
 *
 * Owns loading it, once and lazily, without the experimental warning. Every function says so with its return value when the
 * runtime has no FFI or the platform no such call; callers must have another way or do without. Nothing else in the program
 * may use FFI.
 */

import { endianness } from 'node:os';

type FfiFunction = (...args: readonly (number | bigint | Uint8Array)[]) => number | bigint;

interface Signature {
  readonly return: 'i32' | 'i64' | 'pointer';
  readonly arguments: readonly ('i32' | 'u32' | 'u64' | 'i64' | 'buffer' | 'pointer')[];
}

const signatures = {
  prctl: { return: 'i32', arguments: ['i32', 'u64', 'u64', 'u64', 'u64'] },
  flock: { return: 'i32', arguments: ['i32', 'i32'] },
  fcntl: { return: 'i32', arguments: ['i32', 'i32', 'i64'] },
  waitpid: { return: 'i32', arguments: ['i32', 'buffer', 'i32'] },
  socket: { return: 'i32', arguments: ['i32', 'i32', 'i32'] },
  sendto: { return: 'i64', arguments: ['i32', 'buffer', 'u64', 'i32', 'buffer', 'u32'] },
  close: { return: 'i32', arguments: ['i32'] },
  dup2: { return: 'i32', arguments: ['i32', 'i32'] },
} as const satisfies Record<string, Signature>;

type CallName = keyof typeof signatures;

const resolved = new Map<CallName, FfiFunction | undefined>();

/** undefined: this runtime or platform has no such call. */
function libcCall(name: CallName): FfiFunction | undefined {
  if (resolved.has(name)) return resolved.get(name);
  let call: FfiFunction | undefined;
  try {
    // null is the process image: whichever C library the runtime itself is linked to.
    call = loadFfi()?.dlopen(null, { [name]: signatures[name] }).functions[name] as FfiFunction | undefined;
  } catch {
    // No such symbol, or FFI is forbidden by the permission model.
  }
  resolved.set(name, call);
  return call;
}

function loadFfi(): typeof import('node:ffi') | undefined {
  const emitWarning = process.emitWarning;
  process.emitWarning = () => {};
  try {
    return process.getBuiltinModule('node:ffi');
  } finally {
    process.emitWarning = emitWarning;
  }
}

const prSetParentDeathSignal = 1;

/** Ask the kernel to send this process a signal when its parent ends. Linux only; false when it could not be done. */
export function setParentDeathSignal(signalNumber: number): boolean {
  if (process.platform !== 'linux') return false;
  return libcCall('prctl')?.(prSetParentDeathSignal, BigInt(signalNumber), 0n, 0n, 0n) === 0;
}

const getFlags = 3;
const setFlags = 4;
const setOwner = 8;
const setSignal = 10;
const asynchronous = 0o20000;

/**
 * Have the kernel send a signal to this process's group when the other end of the socket `fd` is closed, by whatever end of
 * whoever holds it. Nothing may ever be sent on that socket: data raises the signal too. Linux only; false when it could not be done.
 */
export function signalGroupOnHangUp(fd: number, signalNumber: number): boolean {
  if (process.platform !== 'linux') return false;
  const fcntl = libcCall('fcntl');
  if (fcntl === undefined) return false;
  const flags = Number(fcntl(fd, getFlags, 0n));
  if (flags < 0) return false;
  if (fcntl(fd, setOwner, BigInt(-process.pid)) !== 0 || fcntl(fd, setSignal, BigInt(signalNumber)) !== 0) return false;
  return fcntl(fd, setFlags, BigInt(flags | asynchronous)) === 0;
}

const lockExclusive = 2;
const lockNonBlocking = 4;

/**
 * Take the advisory lock of an open file without waiting. It is held until the descriptor is closed, by whatever end of the
 * process. 'unavailable': no FFI, so nothing is known.
 */
export function lockFile(fd: number): 'locked' | 'busy' | 'unavailable' {
  const result = libcCall('flock')?.(fd, lockExclusive | lockNonBlocking);
  if (result === undefined) return 'unavailable';
  return result === 0 ? 'locked' : 'busy';
}

const waitNoHang = 1;

/** Collect one ended child of this process, by pid, without waiting. false: not ended, not our child, or no FFI. */
export function reapChild(pid: number): boolean {
  return libcCall('waitpid')?.(pid, Buffer.alloc(4), waitNoHang) === pid;
}

const addressFamilyUnix = 1;
const datagramCloseOnExec = 2 | 0o2000000;
/** MSG_DONTWAIT | MSG_NOSIGNAL */
const sendFlags = 0x40 | 0x4000;
const longestSocketPath = 107;

/**
 * Send one datagram to a Unix socket; a path starting with `@` is in the abstract namespace. Linux only. false: not sent (no
 * such socket, a full one, no FFI).
 */
export function sendUnixDatagram(path: string, data: Uint8Array): boolean {
  if (process.platform !== 'linux') return false;
  const name = Buffer.from(path);
  if (name.length === 0 || name.length > longestSocketPath) return false;
  const address = Buffer.alloc(2 + name.length + (path.startsWith('@') ? 0 : 1));
  if (endianness() === 'LE') address.writeUInt16LE(addressFamilyUnix);
  else address.writeUInt16BE(addressFamilyUnix);
  name.copy(address, 2);
  if (path.startsWith('@')) address[2] = 0;
  const socket = libcCall('socket');
  const sendto = libcCall('sendto');
  const close = libcCall('close');
  if (socket === undefined || sendto === undefined || close === undefined) return false;
  const fd = Number(socket(addressFamilyUnix, datagramCloseOnExec, 0));
  if (fd < 0) return false;
  try {
    return Number(sendto(fd, data, BigInt(data.byteLength), sendFlags, address, address.length)) === data.byteLength;
  } finally {
    close(fd);
  }
}

/** Have descriptor `to` name what `from` names, in one step. false: no FFI, or no such descriptor. */
export function replaceDescriptor(from: number, to: number): boolean {
  return libcCall('dup2')?.(from, to) === to;
}
