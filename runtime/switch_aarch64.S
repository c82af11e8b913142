/* SPDX-License-Identifier: MIT */
/*
 * The stack switch for aarch64, AAPCS64.
 *
 * A suspended stack holds, from the saved pointer up: x19-x28, x29, x30 (where it goes on),
 * d8-d15: 160 bytes. The return is a `br`, as a `ret` would be mispredicted.
 */
    .text
    .globl tdw__switch
    .hidden tdw__switch
    .type tdw__switch, %function
    .balign 16
tdw__switch:
    .cfi_startproc
    hint #34 /* bti c */
    sub sp, sp, #160
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    br x30
    .cfi_endproc
    .size tdw__switch, . - tdw__switch

/* The first frame of a stack: x19 is the entry, x20 its argument. Unwinding ends here. */
    .globl tdw__switch_boot
    .hidden tdw__switch_boot
    .type tdw__switch_boot, %function
    .balign 16
tdw__switch_boot:
    .cfi_startproc
    .cfi_undefined x30
    hint #36 /* bti j */
    mov x29, #0
    mov x30, #0
    mov x0, x20
    blr x19
    brk #1
    .cfi_endproc
    .size tdw__switch_boot, . - tdw__switch_boot

    .section .note.GNU-stack, "", %progbits
