# Block designs: part of vendor.tcl.  Cells with their settings, pins, interfaces and address segments.
set saved 0
set packaged 0
array set kind {}
array set config {}
array set driven_by {}
array set joined {}
set segments {}

# --- what an IP core's settings may be: name, values (a glob for each), default ---
set settings(processing_system7) {
    PCW_USE_M_AXI_GP0 {0 1} 1
    PCW_USE_S_AXI_HP0 {0 1} 0
    PCW_S_AXI_HP0_DATA_WIDTH {32 64} 64
    PCW_EN_CLK0_PORT {0 1} 1
    PCW_EN_RST0_PORT {0 1} 1
    PCW_FCLK0_PERIPHERAL_CLKSRC {{IO PLL} {ARM PLL} {DDR PLL}} {IO PLL}
    PCW_USE_FABRIC_INTERRUPT {0 1} 0
    PCW_IRQ_F2P_INTR {0 1} 0
    PCW_FPGA0_PERIPHERAL_FREQMHZ {[1-9]*} 50
    PCW_CRYSTAL_PERIPHERAL_FREQMHZ {[1-9]*} 33.333333
    PCW_APU_PERIPHERAL_FREQMHZ {[1-9]*} 666.666667
    PCW_PRESET_BANK1_VOLTAGE {{LVCMOS 1.8V} {LVCMOS 3.3V}} {LVCMOS 3.3V}
    PCW_UIPARAM_DDR_PARTNO {{MT41J256M16 RE-125} {MT41J128M8 JP-125}} {MT41J128M8 JP-125}
    PCW_UIPARAM_DDR_BUS_WIDTH {{16 Bit} {32 Bit}} {32 Bit}
    PCW_UIPARAM_DDR_FREQ_MHZ {[1-9]*} 533.333333
    PCW_QSPI_PERIPHERAL_ENABLE {0 1} 0
    PCW_QSPI_GRP_SINGLE_SS_ENABLE {0 1} 0
    PCW_ENET0_PERIPHERAL_ENABLE {0 1} 0
    PCW_ENET0_ENET0_IO {{MIO 16 .. 27} EMIO} {}
    PCW_ENET0_GRP_MDIO_ENABLE {0 1} 0
    PCW_ENET0_GRP_MDIO_IO {{MIO 52 .. 53} EMIO} {}
    PCW_SD0_PERIPHERAL_ENABLE {0 1} 0
    PCW_SD0_SD0_IO {{MIO 40 .. 45} {MIO 16 .. 21}} {}
    PCW_UART0_PERIPHERAL_ENABLE {0 1} 0
    PCW_UART0_UART0_IO {{MIO 14 .. 15} {MIO 10 .. 11}} {}
    PCW_USB0_PERIPHERAL_ENABLE {0 1} 0
}
set settings(zynq_ultra_ps_e) {
    PSU__USE__M_AXI_GP0 {0 1} 1
    PSU__USE__M_AXI_GP1 {0 1} 1
    PSU__USE__M_AXI_GP2 {0 1} 1
    PSU__USE__S_AXI_GP2 {0 1} 0
    PSU__SAXIGP2__DATA_WIDTH {32 64 128} 128
    PSU__USE__IRQ0 {0 1} 1
    PSU__CRL_APB__PL0_REF_CTRL__SRCSEL {IOPLL RPLL DPLL} IOPLL
    PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ {[1-9]*} 100
}
set widths {32 64 128 256 512 1024}
set settings(axi_dma) [list \
    c_include_sg {0 1} 1 c_sg_length_width {8 9 1[0-9] 2[0-6]} 14 c_include_mm2s {0 1} 1 c_include_s2mm {0 1} 1 \
    c_include_mm2s_dre {0 1} 0 c_include_s2mm_dre {0 1} 0 c_m_axi_mm2s_data_width $widths 32 \
    c_m_axis_mm2s_tdata_width {8 16 32 64 128 256 512 1024} 32 c_m_axi_s2mm_data_width $widths 32]
set settings(axi_intc) {C_IRQ_CONNECTION {0 1} 0}
set settings(xlconcat) {NUM_PORTS {[1-9] [1-9][0-9]} 2}
set settings(axi_interconnect) {NUM_SI {[1-9] 1[0-6]} 1 NUM_MI {[1-9] [1-5][0-9] 6[0-4]} 2}
set settings(proc_sys_reset) {}
set settings(squeeze_engine) {}
set versions {
    processing_system7 5.5 zynq_ultra_ps_e 3.5 axi_dma 7.1 axi_intc 4.1 xlconcat 2.1 axi_interconnect 2.1
    proc_sys_reset 5.0 squeeze_engine 1.0
}

proc create_bd_design {args} {
    parse create_bd_design $args
    need_project
}
proc create_bd_cell {args} {
    parse create_bd_cell $args
    set name [lindex $others 0]
    if {[info exists ::kind($name)]} { refuse "\[BD 41-74\] cell $name exists" }
    if {$given(-type) eq "module"} {
        set ::kind($name) module
        read_module $given(-reference)
        return
    }
    lassign [split $given(-vlnv) :] vendor library ip version
    set known [expr {$ip eq "squeeze_engine" ? "squeeze-hls:hls" : "xilinx.com:ip"}]
    if {"$vendor:$library" ne $known || ![info exists ::settings($ip)]
            || ($version ne "" && $version ne [dict get $::versions $ip]) || ($ip eq "squeeze_engine" && !$::packaged)} {
        refuse "\[BD 5-216\] VLNV <$given(-vlnv)> is not supported for the current part."
    }
    set ::kind($name) $ip
    foreach {setting values default} $::settings($ip) {
        set ::config($name,$setting) $default
    }
}
proc configure {cell setting value} {
    foreach {name values default} $::settings($::kind($cell)) {
        if {$name eq $setting} {
            foreach pattern $values {
                if {[string match $pattern $value]} {
                    set ::config($cell,$setting) $value
                    return
                }
            }
            refuse "\[BD 41-245\] set_property error - Value '$value' is out of the range for parameter '$setting' of /$cell"
        }
    }
    refuse "\[BD 41-1276\] Cannot set the parameter $setting on /$cell. Parameter does not exist"
}
proc apply_bd_automation {args} {
    parse apply_bd_automation $args
    set ip $::kind([string range [lindex $others 0] 5 end])
    if {$given(-rule) ne "xilinx.com:bd_rule:$ip"} { refuse "\[BD 5-105\] no rule $given(-rule)" }
    set wanted {apply_board_preset}
    if {$ip eq "processing_system7"} {
        set wanted {Master Slave apply_board_preset make_external}
        if {[dict get $given(-config) make_external] ne "FIXED_IO, DDR"} { refuse "\[BD 5-105\] DDR stays inside" }
    }
    if {[lsort [dict keys $given(-config)]] ne $wanted} { refuse "\[BD 5-105\] $given(-config)" }
    if {[dict get $given(-config) apply_board_preset] != ($::project(board) ne "")} {
        refuse "a preset without a board, or a board without"
    }
}

# --- the engine as a Verilog module: ports by name, interfaces as Vivado infers them ---
proc read_module {reference} {
    set ::module {}
    foreach path $::project(files) {
        set file [open $path]
        set text [read $file]
        close $file
        if {[file extension $path] ne ".v" || ![regexp "\\nmodule $reference \\((.*?)\\n\\);" $text -> ports]} { continue }
        foreach {all direction width name} [regexp -all -inline {(input|output) wire (\[\d+:0\] )?(\w+)} $ports] {
            lappend ::module $name [list [string index $direction 0] [expr {[regexp {\d+} $width high] ? $high + 1 : 1}]]
        }
        return
    }
    refuse "\[filemgmt 56-195\] Unable to find the reference $reference; a module reference must be Verilog or VHDL"
}

# Pins of a cell: name, direction, and whether it must be driven.
proc pins {cell} {
    upvar #0 config c
    switch -- $::kind($cell) {
        processing_system7 {
            set pins {}
            if {$c($cell,PCW_EN_CLK0_PORT)} { lappend pins FCLK_CLK0 o 0 }
            if {$c($cell,PCW_EN_RST0_PORT)} { lappend pins FCLK_RESET0_N o 0 }
            if {$c($cell,PCW_USE_M_AXI_GP0)} { lappend pins M_AXI_GP0_ACLK i 1 }
            if {$c($cell,PCW_USE_S_AXI_HP0)} { lappend pins S_AXI_HP0_ACLK i 1 }
            if {$c($cell,PCW_USE_FABRIC_INTERRUPT) && $c($cell,PCW_IRQ_F2P_INTR)} { lappend pins IRQ_F2P i 1 }
            return $pins
        }
        zynq_ultra_ps_e {
            set pins {pl_clk0 o 0 pl_resetn0 o 0}
            if {$c($cell,PSU__USE__M_AXI_GP0)} { lappend pins maxihpm0_fpd_aclk i 1 }
            if {$c($cell,PSU__USE__M_AXI_GP1)} { lappend pins maxihpm1_fpd_aclk i 1 }
            if {$c($cell,PSU__USE__M_AXI_GP2)} { lappend pins maxihpm0_lpd_aclk i 1 }
            if {$c($cell,PSU__USE__S_AXI_GP2)} { lappend pins saxihp0_fpd_aclk i 1 }
            if {$c($cell,PSU__USE__IRQ0)} { lappend pins pl_ps_irq0 i 1 }
            return $pins
        }
        axi_dma {
            set pins {s_axi_lite_aclk i 1 axi_resetn i 1}
            foreach way {mm2s s2mm} {
                if {$c($cell,c_include_$way)} { lappend pins m_axi_${way}_aclk i 1 ${way}_introut o 0 }
            }
            if {$c($cell,c_include_sg)} { lappend pins m_axi_sg_aclk i 1 }
            return $pins
        }
        axi_intc {
            set pins {s_axi_aclk i 1 s_axi_aresetn i 1 intr i 1}
            if {$c($cell,C_IRQ_CONNECTION)} { lappend pins irq o 0 }
            return $pins
        }
        xlconcat {
            set pins {dout o 0}
            for {set i 0} {$i < $c($cell,NUM_PORTS)} {incr i} { lappend pins In$i i 1 }
            return $pins
        }
        axi_interconnect {
            set pins {ACLK i 1 ARESETN i 1}
            foreach {letter count} [list S $c($cell,NUM_SI) M $c($cell,NUM_MI)] {
                for {set i 0} {$i < $count} {incr i} {
                    set port [format %s%02d $letter $i]
                    lappend pins ${port}_ACLK i 1 ${port}_ARESETN i 1
                }
            }
            return $pins
        }
        proc_sys_reset { return {slowest_sync_clk i 1 ext_reset_in i 1 peripheral_aresetn o 0 interconnect_aresetn o 0} }
        squeeze_engine { return {ap_clk i 1 ap_rst_n i 1 interrupt o 0} }
        module {
            set pins {}
            foreach {name port} $::module {
                if {![regexp {^(s_axi|s_axis|m_axis)_} $name]} {
                    lappend pins $name [lindex $port 0] [expr {[lindex $port 0] eq "i"}]
                }
            }
            return $pins
        }
    }
}

# Interfaces of a cell: name, master or slave, protocol, width of data (0: as what it is connected to).
proc interfaces {cell} {
    upvar #0 config c
    switch -- $::kind($cell) {
        processing_system7 {
            set found {}
            if {$c($cell,PCW_USE_M_AXI_GP0)} { lappend found M_AXI_GP0 m aximm 32 }
            if {$c($cell,PCW_USE_S_AXI_HP0)} { lappend found S_AXI_HP0 s aximm $c($cell,PCW_S_AXI_HP0_DATA_WIDTH) }
            return $found
        }
        zynq_ultra_ps_e {
            set found {}
            if {$c($cell,PSU__USE__M_AXI_GP0)} { lappend found M_AXI_HPM0_FPD m aximm 0 }
            if {$c($cell,PSU__USE__S_AXI_GP2)} { lappend found S_AXI_HP0_FPD s aximm $c($cell,PSU__SAXIGP2__DATA_WIDTH) }
            return $found
        }
        axi_dma {
            set found {S_AXI_LITE s aximm 32}
            if {$c($cell,c_include_mm2s)} {
                lappend found M_AXI_MM2S m aximm $c($cell,c_m_axi_mm2s_data_width) \
                    M_AXIS_MM2S m axis $c($cell,c_m_axis_mm2s_tdata_width)
            }
            if {$c($cell,c_include_s2mm)} {
                lappend found M_AXI_S2MM m aximm $c($cell,c_m_axi_s2mm_data_width) S_AXIS_S2MM s axis 0
            }
            return $found
        }
        axi_intc { return {s_axi s aximm 32} }
        axi_interconnect {
            set found {}
            for {set i 0} {$i < $c($cell,NUM_SI)} {incr i} { lappend found [format S%02d_AXI $i] s aximm 0 }
            for {set i 0} {$i < $c($cell,NUM_MI)} {incr i} { lappend found [format M%02d_AXI $i] m aximm 0 }
            return $found
        }
        squeeze_engine {
            set found {s_axi_control s aximm 32 s_axis_in s axis 64 m_axis_out m axis 64}
            if {[fake STREAMED] eq "1"} { lappend found s_axis_weights s axis 64 }
            return $found
        }
        module {
            set found {}
            foreach {name port} $::module {
                if {[regexp {^(s_axi_\w+)_wdata$} $name -> base]} { lappend found $base s aximm [lindex $port 1] }
                if {[regexp {^(([sm])_axis_\w+)_tdata$} $name -> base role]} { lappend found $base $role axis [lindex $port 1] }
            }
            return $found
        }
    }
    return {}
}

# --- objects ---
proc get_bd_cells {args} {
    parse get_bd_cells $args
    if {![info exists ::kind($others)]} { refuse "\[BD 5-235\] No cells matched '$others'" }
    return cell:$others
}
proc member {path table step what} {
    lassign [split $path /] cell name
    if {[info exists ::kind($cell)]} {
        foreach entry [lsearch -all -exact $table $name] {
            if {$entry % $step == 0} { return $entry }
        }
    }
    refuse "\[BD 5-235\] No $what matched '$path'"
}
proc get_bd_pins {args} {
    parse get_bd_pins $args
    lassign [split $others /] cell
    member $others [expr {[info exists ::kind($cell)] ? [pins $cell] : {}}] 3 pins
    return $others
}
proc get_bd_intf_pins {args} {
    parse get_bd_intf_pins $args
    lassign [split $others /] cell
    member $others [expr {[info exists ::kind($cell)] ? [interfaces $cell] : {}}] 4 "interface pins"
    return $others
}
proc pin_entry {path} {
    lassign [split $path /] cell
    return [lrange [pins $cell] [member $path [pins $cell] 3 pins] end]
}
proc intf_entry {path} {
    lassign [split $path /] cell
    return [lrange [interfaces $cell] [member $path [interfaces $cell] 4 "interface pins"] end]
}
proc connect_bd_net {args} {
    parse connect_bd_net $args
    lassign $others from to
    if {[lindex [pin_entry $from] 1] ne "o" || [lindex [pin_entry $to] 1] ne "i"} { refuse "\[BD 41-759\] $from does not drive $to" }
    if {[info exists ::driven_by($to)]} { refuse "\[BD 41-1356\] $to is driven twice" }
    set ::driven_by($to) $from
}
proc connect_bd_intf_net {args} {
    parse connect_bd_intf_net $args
    lassign $others from to
    lassign [intf_entry $from] - role protocol width
    lassign [intf_entry $to] - other_role other_protocol other_width
    if {$role ne "m" || $other_role ne "s" || $protocol ne $other_protocol} { refuse "\[BD 5-336\] $from cannot be connected to $to" }
    if {$protocol eq "axis" && $width && $other_width && $width != $other_width} {
        refuse "\[BD 41-237\] Bus Interface property TDATA_NUM_BYTES does not match between $from and $to"
    }
    foreach end [list $from $to] {
        if {[info exists ::joined($end)]} { refuse "\[BD 5-336\] $end is connected twice" }
    }
    set ::joined($from) $to
    set ::joined($to) $from
}

# --- addresses ---
proc get_bd_addr_spaces {args} {
    parse get_bd_addr_spaces $args
    lassign [split $others /] cell name
    if {$name eq "Data" && $::kind($cell) in {processing_system7 zynq_ultra_ps_e}} { return $others }
    if {[regexp {^Data_(MM2S|S2MM)$} $name -> way] && $::kind($cell) eq "axi_dma"
            && $::config($cell,c_include_[string tolower $way])} { return $others }
    refuse "\[BD 5-235\] No address spaces matched '$others'"
}
proc all_segments {} {
    set found {}
    foreach cell [lsort [array names ::kind]] {
        foreach {name role protocol width} [interfaces $cell] {
            if {$role eq "s" && $protocol eq "aximm" && $::kind($cell) in {axi_dma axi_intc squeeze_engine module}} {
                lappend found $cell/$name/Reg
            }
            if {$name eq "S_AXI_HP0"} { lappend found $cell/S_AXI_HP0/HP0_DDR_LOWOCM }
            if {$name eq "S_AXI_HP0_FPD"} {
                foreach segment {HP0_DDR_LOW HP0_DDR_HIGH HP0_QSPI HP0_LPS_OCM} { lappend found $cell/SAXIGP2/$segment }
            }
        }
    }
    return $found
}
proc get_bd_addr_segs {args} {
    parse get_bd_addr_segs $args
    set pattern [expr {[info exists given(-of_objects)] ? "$given(-of_objects)/*" : $others}]
    set found [lsearch -all -inline [all_segments] $pattern]
    if {$found eq "" && ![info exists given(-quiet)]} { refuse "\[BD 5-235\] No address segments matched '$pattern'" }
    return $found
}
proc assign_bd_address {args} {
    parse assign_bd_address $args
    if {[llength $others] != 1 || [llength [lindex $others 0]] != 1} { refuse "\[BD 5-304\] one segment at a time: $others" }
    set segment [lindex $others 0]
    if {![info exists given(-offset)]} {
        array set given {-offset 0 -range 0}
    }
    lappend ::segments [list $given(-target_address_space) $segment [expr {$given(-offset)}] [expr {$given(-range)}]]
}
proc exclude_bd_addr_seg {args} {
    parse exclude_bd_addr_seg $args
    lappend ::segments [list $given(-target_address_space) [lindex $others 0] excluded 0]
}

# --- the checks of a whole design ---
proc validate_bd_design {} {
    parse validate_bd_design {}
    set zynq [expr {"processing_system7" in [lmap cell [array names ::kind] {set ::kind($cell)}]}]
    foreach cell [array names ::kind] {
        foreach {pin direction needed} [pins $cell] {
            if {$needed && ![info exists ::driven_by($cell/$pin)]} { refuse "\[BD 41-758\] The following pins are not connected: /$cell/$pin" }
        }
        foreach {name role protocol width} [interfaces $cell] {
            if {![info exists ::joined($cell/$name)]} { refuse "\[BD 41-1271\] interface /$cell/$name is not connected" }
        }
        if {$::kind($cell) eq "axi_dma"} {
            if {$::config($cell,c_m_axis_mm2s_tdata_width) > $::config($cell,c_m_axi_mm2s_data_width)} {
                refuse "\[BD 41-245\] the stream of /$cell is wider than its memory port"
            }
        }
    }
    set low [expr {$zynq ? 0x40000000 : 0xA0000000}]
    set high [expr {$zynq ? 0x7FFFFFFF : 0xAFFFFFFF}]
    set taken {}
    array set mapped {}
    foreach entry $::segments {
        lassign $entry space segment offset range
        set mapped($space,$segment) 1
        if {$space ne "ps/Data"} { continue }
        if {$range < 4096 || $range & ($range - 1) || $offset % $range || $offset < $low || $offset + $range - 1 > $high} {
            refuse "\[BD 41-971\] Segment <$segment> cannot be at <$offset \[ $range \]>"
        }
        foreach {first last} $taken {
            if {$offset <= $last && $first < $offset + $range} { refuse "\[BD 41-1051\] <$segment> overlaps" }
        }
        lappend taken $offset [expr {$offset + $range - 1}]
    }
    foreach segment [all_segments] {
        if {[string match ps/* $segment]} {
            foreach {space wanted} [array get ::joined */M_AXI_*] {
                lassign [split $space /] cell name
                if {$::kind($cell) eq "axi_dma" && ![info exists mapped($cell/[string map {M_AXI_ Data_} $name],$segment)]} {
                    refuse "\[BD 41-1356\] Slave segment <$segment> is not assigned into address space of $space"
                }
            }
        } elseif {![info exists mapped(ps/Data,$segment)]} {
            refuse "\[BD 41-1356\] Slave segment <$segment> is not assigned into address space </ps/Data>"
        }
    }
}
proc save_bd_design {} {
    parse save_bd_design {}
    set ::saved 1
}
