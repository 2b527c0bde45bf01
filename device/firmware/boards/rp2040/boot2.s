@ Second stage of the RP2040's boot. The boot ROM copies these 252 bytes to SRAM and calls them if their checksum,
@ which the build adds, is right. They make flash readable at 0x10000000 and start what lies behind the boot block.
@
@ Flash is read with the command 03h, which every chip knows: 8 bits of command, 24 of address, then data, one bit at
@ a time. A quarter of 133 MHz is below the 50 MHz that chips allow for it.

        .syntax unified
        .cpu    cortex-m0plus
        .thumb

        .equ    SSI, 0x18000000
        .equ    CTRLR0, 0x00
        .equ    CTRLR1, 0x04
        .equ    SSIENR, 0x08
        .equ    BAUDR, 0x14
        .equ    SPI_CTRLR0, 0xf4

        .equ    CLOCK_DIVIDER, 4
        .equ    FRAME_OF_32_BITS, 31 << 16
        .equ    READ_AFTER_COMMAND, 3 << 8
        .equ    COMMAND_OF_8_BITS, 2 << 8
        .equ    ADDRESS_OF_24_BITS, 6 << 2      @ in units of 4
        .equ    COMMAND_READ, 0x03 << 24

        .equ    VECTORS, 0x10000100
        .equ    VTOR, 0xe000ed08

        .section .boot2, "ax"
        .global boot2
        .thumb_func
boot2:
        ldr     r3, =SSI
        movs    r0, #0
        str     r0, [r3, #SSIENR]               @ registers change only while it is off
        movs    r1, #CLOCK_DIVIDER
        str     r1, [r3, #BAUDR]
        ldr     r1, =(FRAME_OF_32_BITS | READ_AFTER_COMMAND)
        str     r1, [r3, #CTRLR0]
        str     r0, [r3, #CTRLR1]               @ one frame a read
        ldr     r1, =(COMMAND_READ | COMMAND_OF_8_BITS | ADDRESS_OF_24_BITS)
        ldr     r2, =(SSI + SPI_CTRLR0)
        str     r1, [r2]
        movs    r1, #1
        str     r1, [r3, #SSIENR]

        ldr     r0, =VECTORS
        ldr     r1, =VTOR
        str     r0, [r1]
        ldmia   r0!, {r1, r2}
        msr     msp, r1
        bx      r2

        .ltorg
