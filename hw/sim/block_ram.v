// Block RAM of 7 series as Yosys' netlists use it, for simulating them: one port writes, the other reads.
//
// Modelled is what the engine's memories become (AMD UG473): words of 9 to 72 bits, byte write enables, an output that
// is kept while its port is disabled; no output register, no reset, no initial contents, no cascade.  A netlist that
// asks for more ends the simulation.  In RAM_MODE "TDP" port A writes and B reads, in "SDP" A reads and B writes.
`default_nettype none

module squeeze_block_ram #(
    parameter BYTES = 4096,
    parameter WRITE_WIDTH = 9,  // with parity; 0: not used
    parameter READ_WIDTH = 9
) (
    input wire write_clk,
    input wire write_enable,
    input wire [7:0] write_bytes,
    input wire [15:0] write_address,  // in bits
    input wire [63:0] write_data,
    input wire [7:0] write_parity,
    input wire read_clk,
    input wire read_enable,
    input wire read_reset,
    input wire [15:0] read_address,
    output reg [63:0] read_data,
    output reg [7:0] read_parity
);
    localparam LANES = WRITE_WIDTH == 0 ? 1 : WRITE_WIDTH / 9;  // bytes of a word
    localparam WORDS = BYTES / LANES;

    reg [9*LANES-1:0] words[0:WORDS-1];  // a byte and its parity, the lowest byte first
    reg [9*LANES-1:0] written, seen;
    integer i, w, r;

    initial begin
        if (WRITE_WIDTH % 9 != 0 || READ_WIDTH != WRITE_WIDTH)
            $fatal(1, "block RAM: words of less than 9 bits and ports of two widths are not modelled");
        for (i = 0; i < WORDS; i = i + 1) words[i] = 0;
    end

    always @* begin
        written = words[write_address / (8 * LANES) % WORDS];
        for (w = 0; w < LANES; w = w + 1)
            if (write_bytes[w]) written[9*w+:9] = {write_parity[w], write_data[8*w+:8]};
    end

    always @(posedge write_clk) if (write_enable) words[write_address / (8 * LANES) % WORDS] <= written;

    always @(posedge read_clk) begin
        if (read_reset) $fatal(1, "block RAM: the reset of the output is not modelled");
        if (read_enable) seen <= words[read_address / (8 * LANES) % WORDS];
    end

    always @* begin
        read_data = 0;
        read_parity = 0;
        for (r = 0; r < LANES; r = r + 1) begin
            read_data[8*r+:8] = seen[9*r+:8];
            read_parity[r] = seen[9*r+8];
        end
    end
endmodule

module RAMB36E1 #(
    parameter RAM_MODE = "TDP",
    parameter READ_WIDTH_A = 0,
    parameter READ_WIDTH_B = 0,
    parameter WRITE_WIDTH_A = 0,
    parameter WRITE_WIDTH_B = 0,
    parameter DOA_REG = 0,
    parameter DOB_REG = 0,
    parameter RAM_EXTENSION_A = "NONE",
    parameter RAM_EXTENSION_B = "NONE",
    parameter WRITE_MODE_A = "WRITE_FIRST",
    parameter WRITE_MODE_B = "WRITE_FIRST",
    parameter SRVAL_A = 0,
    parameter SRVAL_B = 0
) (
    input wire CLKARDCLK, CLKBWRCLK, ENARDEN, ENBWREN, REGCEAREGCE, REGCEB,
    input wire RSTRAMARSTRAM, RSTRAMB, RSTREGARSTREG, RSTREGB,
    input wire [15:0] ADDRARDADDR, ADDRBWRADDR,
    input wire [31:0] DIADI, DIBDI,
    input wire [3:0] DIPADIP, DIPBDIP,
    input wire [3:0] WEA,
    input wire [7:0] WEBWE,
    output wire [31:0] DOADO, DOBDO,
    output wire [3:0] DOPADOP, DOPBDOP
);
    initial
        if (DOA_REG != 0 || DOB_REG != 0 || RAM_EXTENSION_A != "NONE" || RAM_EXTENSION_B != "NONE")
            $fatal(1, "RAMB36E1: output registers and cascades are not modelled");

    generate
        if (RAM_MODE == "SDP") begin : simple
            squeeze_block_ram #(.BYTES(4096), .WRITE_WIDTH(WRITE_WIDTH_B), .READ_WIDTH(READ_WIDTH_A)) memory (
                .write_clk(CLKBWRCLK), .write_enable(ENBWREN), .write_bytes(WEBWE), .write_address({1'b0, ADDRBWRADDR[14:0]}),
                .write_data({DIBDI, DIADI}), .write_parity({DIPBDIP, DIPADIP}),
                .read_clk(CLKARDCLK), .read_enable(ENARDEN), .read_reset(RSTRAMARSTRAM),
                .read_address({1'b0, ADDRARDADDR[14:0]}), .read_data({DOBDO, DOADO}), .read_parity({DOPBDOP, DOPADOP})
            );
        end else begin : dual
            wire [31:0] no_data;
            wire [3:0] no_parity;
            initial if (READ_WIDTH_A != 0 || WRITE_WIDTH_B != 0) $fatal(1, "RAMB36E1: two-way ports are not modelled");
            squeeze_block_ram #(.BYTES(4096), .WRITE_WIDTH(WRITE_WIDTH_A), .READ_WIDTH(READ_WIDTH_B)) memory (
                .write_clk(CLKARDCLK), .write_enable(ENARDEN), .write_bytes({4'd0, WEA}),
                .write_address({1'b0, ADDRARDADDR[14:0]}), .write_data({32'd0, DIADI}), .write_parity({4'd0, DIPADIP}),
                .read_clk(CLKBWRCLK), .read_enable(ENBWREN), .read_reset(RSTRAMB),
                .read_address({1'b0, ADDRBWRADDR[14:0]}), .read_data({no_data, DOBDO}), .read_parity({no_parity, DOPBDOP})
            );
            assign DOADO = 0;
            assign DOPADOP = 0;
        end
    endgenerate
endmodule

module RAMB18E1 #(
    parameter RAM_MODE = "TDP",
    parameter READ_WIDTH_A = 0,
    parameter READ_WIDTH_B = 0,
    parameter WRITE_WIDTH_A = 0,
    parameter WRITE_WIDTH_B = 0,
    parameter DOA_REG = 0,
    parameter DOB_REG = 0,
    parameter WRITE_MODE_A = "WRITE_FIRST",
    parameter WRITE_MODE_B = "WRITE_FIRST",
    parameter SRVAL_A = 0,
    parameter SRVAL_B = 0
) (
    input wire CLKARDCLK, CLKBWRCLK, ENARDEN, ENBWREN, REGCEAREGCE, REGCEB,
    input wire RSTRAMARSTRAM, RSTRAMB, RSTREGARSTREG, RSTREGB,
    input wire [13:0] ADDRARDADDR, ADDRBWRADDR,
    input wire [15:0] DIADI, DIBDI,
    input wire [1:0] DIPADIP, DIPBDIP,
    input wire [1:0] WEA,
    input wire [3:0] WEBWE,
    output wire [15:0] DOADO, DOBDO,
    output wire [1:0] DOPADOP, DOPBDOP
);
    initial if (DOA_REG != 0 || DOB_REG != 0) $fatal(1, "RAMB18E1: output registers are not modelled");

    wire [31:0] no_data;
    wire [3:0] no_parity;
    generate
        if (RAM_MODE == "SDP") begin : simple
            squeeze_block_ram #(.BYTES(2048), .WRITE_WIDTH(WRITE_WIDTH_B), .READ_WIDTH(READ_WIDTH_A)) memory (
                .write_clk(CLKBWRCLK), .write_enable(ENBWREN), .write_bytes({4'd0, WEBWE}),
                .write_address({2'b0, ADDRBWRADDR}), .write_data({32'd0, DIBDI, DIADI}),
                .write_parity({4'd0, DIPBDIP, DIPADIP}),
                .read_clk(CLKARDCLK), .read_enable(ENARDEN), .read_reset(RSTRAMARSTRAM),
                .read_address({2'b0, ADDRARDADDR}), .read_data({no_data, DOBDO, DOADO}),
                .read_parity({no_parity, DOPBDOP, DOPADOP})
            );
        end else begin : dual
            wire [15:0] no_half;
            wire [1:0] no_bits;
            initial if (READ_WIDTH_A != 0 || WRITE_WIDTH_B != 0) $fatal(1, "RAMB18E1: two-way ports are not modelled");
            squeeze_block_ram #(.BYTES(2048), .WRITE_WIDTH(WRITE_WIDTH_A), .READ_WIDTH(READ_WIDTH_B)) memory (
                .write_clk(CLKARDCLK), .write_enable(ENARDEN), .write_bytes({6'd0, WEA}),
                .write_address({2'b0, ADDRARDADDR}), .write_data({48'd0, DIADI}), .write_parity({6'd0, DIPADIP}),
                .read_clk(CLKBWRCLK), .read_enable(ENBWREN), .read_reset(RSTRAMB),
                .read_address({2'b0, ADDRBWRADDR}), .read_data({no_data, no_half, DOBDO}),
                .read_parity({no_parity, no_bits, DOPBDOP})
            );
            assign DOADO = 0;
            assign DOPADOP = 0;
        end
    endgenerate
endmodule

`default_nettype wire
