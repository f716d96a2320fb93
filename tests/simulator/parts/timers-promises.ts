export { sleep as setTimeout } from '../surroundings.ts';
