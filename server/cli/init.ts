/** `tidelog init`: the identity of this device, and an empty store. */
import type { Command } from 'commander';

import { initDevice } from '../device.ts';
import { dataDirOf, Output } from './command.ts';

export function initCommand(program: Command): void {
  program
    .command('init')
    .description('make this device: its key and an empty store')
    .option('--name <name>', "what others see it as; the machine's name unless told")
    .action(async ({ name }: { name?: string }, command: Command) => {
      const dataDir = dataDirOf(command);
      const { id, created } = await initDevice(dataDir, name);
      const words = (): string =>
        created
          ? `Made this device in ${dataDir}\n${id}\n\nNext: \`tidelog start\` runs the node, \`tidelog pair join LINK\` joins your other devices.`
          : `There is a device in ${dataDir} already\n${id}${name === undefined ? '' : '\nIts name stays as it is; `tidelog devices rename` changes it.'}`;
      await new Output(command).show({ id, created, data: dataDir }, words);
    });
}
