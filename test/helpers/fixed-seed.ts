/**
 * Properties look at the same cases in every run of `npm test`: what it says of a change is not to depend on luck. They look
 * further with BOREALIS_TEST=thorough, where fast-check draws its seed and prints it with what it finds.
 */
import fc from "fast-check";
import { isThorough } from "./thorough.ts";

const seed = 20_260_601;

if (!isThorough) fc.configureGlobal({ ...fc.readConfigureGlobal(), seed });
